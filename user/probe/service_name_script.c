// SPDX-License-Identifier: Apache-2.0
#include "probe/service_name_script.h"

#include <stdio.h>
#include <string.h>

static bool in_list(struct view v, const char *const *list)
{
	for (; *list; list++)
		if (view_eq(v, view_of(*list)))
			return true;
	return false;
}

bool script__take(struct view name, char *ret)
{
	size_t n = name.len < SERVICE_NAME_BYTES ? name.len : SERVICE_NAME_BYTES - 1;

	if (!n)
		return false;
	memcpy(ret, name.at, n);
	ret[n] = '\0';
	return ret[0] != '\0';
}

static struct view without_extension(struct view base)
{
	static const char *const extensions[] = {
		".py",	".pyc",	 ".pyz", ".js",	  ".mjs",  ".cjs", ".ts",
		".mts", ".tsx",	 ".jar", ".war",  ".java", ".rb",  ".ru",
		".php", ".phar", ".pl",	 ".psgi", ".dll",  ".sh",  NULL,
	};

	for (const char *const *e = extensions; *e; e++) {
		size_t n = strlen(*e);

		if (base.len > n && !memcmp(base.at + base.len - n, *e, n)) {
			base.len -= n;
			break;
		}
	}
	return base;
}

/* What comes before the last slash, without trailing slashes; empty: nothing, or the root. */
static struct view parent(struct view path)
{
	while (path.len && path.at[path.len - 1] != '/')
		path.len--;
	while (path.len && path.at[path.len - 1] == '/')
		path.len--;
	return path;
}

bool script__directory(struct view path, char *ret)
{
	static const char *const silent[] = { "src",	"dist",	   "build", "bin", "lib", "out",
					      "public", "current", ".",	    "..",  NULL };

	while (path.len && path.at[path.len - 1] == '/')
		path.len--;
	while (path.len && in_list(path__base(path), silent))
		path = parent(path);
	return script__take(path__base(path), ret);
}

/* The directory of a path that may be relative to the working directory. */
static bool directory_of(const struct service_facts *facts, struct view path, char *ret)
{
	struct view dir = parent(path);

	if (path.len && path.at[0] == '/')
		return script__directory(dir, ret);
	return (dir.len && script__directory(dir, ret)) || script__directory(facts->cwd, ret);
}

/*
 * A tool that lies in a project's node_modules serves the project: /srv/shop/node_modules/.bin/next
 * is "shop". Tools for all (/usr/lib/node_modules) have no project.
 */
static bool node_modules_owner(const struct service_facts *facts, struct view path, char *ret)
{
	static const char *const global[] = { "lib", "share", "", NULL };
	const char *at = memmem(path.at, path.len, "node_modules/", 13);
	struct view before;

	if (!at || (at > path.at && at[-1] != '/'))
		return false;
	before = (struct view){ path.at, (size_t)(at - path.at) };
	if (!before.len)
		return script__directory(facts->cwd, ret);
	before = parent(before);
	return !in_list(path__base(before), global) && script__directory(before, ret);
}

bool script__name(const struct service_facts *facts, struct view path, char *ret)
{
	static const char *const silent[] = { "index", "__main__", "manage", "artisan", "console",
					      "wsgi",  "asgi",	   "config", NULL };
	struct view name;

	while (path.len > 1 && path.at[path.len - 1] == '/')
		path.len--;
	if (node_modules_owner(facts, path, ret))
		return true;
	name = without_extension(path__base(path));
	if (view_eq(name, VIEW(".")) || view_eq(name, VIEW("..")))
		return script__directory(facts->cwd, ret);
	if (in_list(name, silent) && directory_of(facts, path, ret))
		return true;
	if (view_eq(name, VIEW("npm-cli")) || view_eq(name, VIEW("npx-cli")))
		name.len = 3;
	return script__take(name, ret);
}

bool script__module(struct view module, char *ret)
{
	static const char *const endings[] = { ".wsgi", ".asgi", NULL };
	size_t n = 0;

	while (n < module.len && module.at[n] != ':' && module.at[n] != '/' && module.at[n] != '(')
		n++;
	module.len = n;
	for (const char *const *e = endings; *e; e++)
		if (module.len > 5 && !memcmp(module.at + module.len - 5, *e, 5))
			module.len -= 5;
	return script__take(module, ret);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Length of a dotted name at the start of v: "shop.wsgi". */
static size_t dotted_length(struct view v)
{
	size_t n = 0;

	if (!v.len || !is_word(v.at[0]))
		return 0;
	while (n < v.len &&
	       (is_word(v.at[n]) || v.at[n] == '.' || (v.at[n] >= '0' && v.at[n] <= '9')))
		n++;
	return n;
}

/* "shop.wsgi:app", "shop:create_app()"; not "localhost:8000". */
static bool is_application(struct view v)
{
	size_t n = dotted_length(v);

	return n && n + 1 < v.len && v.at[n] == ':' && is_word(v.at[n + 1]);
}

/* Application servers: the argument that is an application, or the last if it may be a module. */
static bool application_argument(struct view rest, char *ret)
{
	static const char *const takes_module[] = { "-k", "--worker-class", "--logger-class",
						    "-c", "--config",	    NULL };
	struct view arg, last = { NULL, 0 }, before = { NULL, 0 };

	while (arguments__next(&rest, &arg)) {
		if (!arg.len)
			continue;
		if (is_application(arg))
			return script__module(arg, ret);
		before = last;
		last = arg;
	}
	if (!last.len || dotted_length(last) != last.len || in_list(before, takes_module))
		return false;
	return script__module(last, ret);
}

bool script__python_server(const struct service_facts *facts, struct view server, struct view rest,
			   char *ret)
{
	static const char *const servers[] = { "gunicorn", "uvicorn",	     "hypercorn", "daphne",
					       "granian",  "waitress-serve", "waitress",  NULL };
	static const char *const tools[] = { "celery", "flask", "rq", "dramatiq", NULL };
	struct view arg, value = { NULL, 0 };

	if (in_list(server, servers))
		return application_argument(rest, ret);
	if (!in_list(server, tools))
		return false;
	while (arguments__next(&rest, &arg)) {
		if (view_eq(arg, VIEW("-A")) || view_eq(arg, VIEW("--app")))
			return arguments__next(&rest, &value) && script__module(value, ret);
		if (arg.len > 6 && !memcmp(arg.at, "--app=", 6))
			return script__module((struct view){ arg.at + 6, arg.len - 6 }, ret);
	}
	if (!environ__get(facts->environ, "FLASK_APP", &value))
		return false;
	return memchr(value.at, '/', value.len) ? script__name(facts, value, ret) :
						  script__module(without_extension(value), ret);
}

bool script__is_title(struct view first, struct view rest)
{
	struct view arg;

	if (!first.len || !memchr(first.at, ' ', first.len))
		return false;
	while (arguments__next(&rest, &arg))
		if (arg.len)
			return false;
	return true;
}

bool script__from_title(struct view title, char *ret)
{
	static const char *const tagged[] = { "gunicorn: ", "puma ", "puma: ", "[puma", NULL };
	const char *open;

	for (const char *const *t = tagged; *t; t++) {
		size_t n = strlen(*t);

		if (title.len < n + 3 || memcmp(title.at, *t, n) || title.at[title.len - 1] != ']')
			continue;
		open = memrchr(title.at, '[', title.len);
		if (open)
			return script__module((struct view){ open + 1,
							     title.len - (size_t)(open + 2 -
										  title.at) },
					      ret);
	}
	return false;
}

struct view script__split_title(const char *interpreter, struct view title,
				char to[SCRIPT_TITLE_MAX_BYTES])
{
	const char *blank = memchr(title.at, ' ', title.len);
	struct view none = { NULL, 0 }, word, base;
	size_t n = strlen(interpreter);

	word = (struct view){ title.at, blank ? (size_t)(blank - title.at) : title.len };
	base = path__base(word);
	if (!blank || base.len < n || memcmp(base.at, interpreter, n))
		return none;
	title.len -= word.len + 1;
	if (title.len >= SCRIPT_TITLE_MAX_BYTES)
		title.len = SCRIPT_TITLE_MAX_BYTES - 1;
	memcpy(to, blank + 1, title.len);
	to[title.len] = '\0';
	for (size_t i = 0; i < title.len; i++)
		if (to[i] == ' ')
			to[i] = '\0';
	return (struct view){ to, title.len + 1 };
}
