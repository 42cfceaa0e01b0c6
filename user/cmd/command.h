/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands: one file of user/cmd each. */
#ifndef SONDE_CMD_COMMAND_H
#define SONDE_CMD_COMMAND_H

/* Exit status of every command (a traced command's own passes through; 125–127 as env(1)). */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_SONDE = 125,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127
};

struct command {
	const char *name;
	const char *summary;		   /* one line */
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

int cmd_trace(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_search(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
