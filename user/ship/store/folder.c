// SPDX-License-Identifier: Apache-2.0
#include "ship/store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ship/store/file.h"

static bool is_ours(const char *name)
{
	return !strcmp(name, STORE_LOCK) || !strncmp(name, "spans-", 6);
}

/* Calls each with every name in the folder, until one returns other than 0. */
static int walk(const char *path, int (*each)(int folder, const char *name, void *arg), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int ret = dir ? 0 : -errno;

	while (dir && !ret && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			ret = each(dirfd(dir), entry->d_name, arg);
	if (dir)
		closedir(dir);
	return ret;
}

static int refuse_foreign(int folder, const char *name, void *arg)
{
	/* A file system's own. */
	return is_ours(name) || !strcmp(name, "lost+found") ? 0 : -ENOTEMPTY;
}

int store_folder__make(const char *path, char **ret_path, struct err *err)
{
	char *whole;
	int ret;

	if (mkdir(path, 0700) && errno != EEXIST)
		return err__set(err, -errno, "cannot make the folder %s: %s", path,
				strerror(errno));
	whole = realpath(path, NULL);
	if (!whole)
		return err__set(err, -errno, "cannot use the folder %s: %s", path, strerror(errno));
	ret = walk(whole, refuse_foreign, NULL);
	if (ret == -ENOTEMPTY)
		err__set(err, ret,
			 "%s holds other things than a store, and would be given to the role that "
			 "writes "
			 "it: name an empty folder",
			 path);
	else if (ret)
		err__set(err, ret, "cannot use the folder %s: %s", path, strerror(-ret));
	if (ret)
		free(whole);
	else
		*ret_path = whole;
	return ret;
}

struct giving {
	uid_t uid;
	bool shared;
};

/* No link, and no second name of a file elsewhere: whoever owned the folder could have made one. */
static int give_file(int folder, const char *name, void *arg)
{
	const struct giving *giving = arg;
	int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[64];
	struct stat st;
	int ret = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1 && is_ours(name) &&
	    st.st_uid != giving->uid &&
	    fchownat(fd, "", giving->uid, (gid_t)giving->uid, AT_EMPTY_PATH))
		ret = -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!ret && giving->shared && S_ISREG(st.st_mode) && st.st_nlink == 1 && is_ours(name) &&
	    chmod(path, 0640))
		ret = -errno;
	close(fd);
	return ret;
}

static int refuse_busy(const char *path, struct err *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char lock[STORE_PATH_MAX];
	int fd, ret = 0;

	snprintf(lock, sizeof(lock), "%s/" STORE_LOCK, path);
	fd = open(lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (!fcntl(fd, F_GETLK, &whole) && whole.l_type != F_UNLCK)
		ret = err__set(
			err, -EBUSY,
			"another sonde (process %d) writes into the store %s: end it, or name "
			"another folder",
			(int)whole.l_pid, path);
	close(fd);
	return ret;
}

int store_folder__give(const char *path, uid_t uid, bool shared, struct err *err)
{
	struct giving giving = { uid, shared };
	int ret = refuse_busy(path, err), fd;

	if (ret || !uid)
		return ret;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchown(fd, uid, (gid_t)uid) || (shared && fchmod(fd, 0750)))
		err__set(err, 0, "the store %s cannot be given to the role that writes it: %s",
			 path, strerror(errno));
	else
		walk(path, give_file, &giving);
	if (fd >= 0)
		close(fd);
	return 0;
}

static int remove_file(int folder, const char *name, void *arg)
{
	if (is_ours(name))
		unlinkat(folder, name, 0);
	return 0;
}

void store_folder__remove(const char *path, uid_t owner)
{
	pid_t pid = fork();

	/* We may become the owner, but no longer do what only root may. */
	if (pid == 0) {
		if (chdir(path) ||
		    (owner && (setresgid(owner, owner, owner) || setresuid(owner, owner, owner))))
			_exit(1);
		walk(".", remove_file, NULL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	rmdir(path);
}
