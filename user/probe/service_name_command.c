// SPDX-License-Identifier: Apache-2.0
/*
 * Which program an interpreter runs. Each interpreter's own rules for its options, as far as they
 * decide where the program's name stands: which options take the next argument as their value.
 */
#include <stdio.h>
#include <string.h>

#include "probe/service_name.h"
#include "probe/service_name_script.h"

/* The next argument that is no option, values of options in `with_value` skipped. */
static bool positional(struct view *rest, const char *const *with_value, struct view *ret)
{
	struct view arg, value;

	while (arguments__next(rest, &arg)) {
		if (!arg.len)
			continue;
		if (arg.at[0] != '-' || arg.len == 1) {
			*ret = arg;
			return true;
		}
		if (view_eq(arg, VIEW("--")))
			return arguments__next(rest, ret);
		for (const char *const *o = with_value; *o; o++)
			if (view_eq(arg, view_of(*o)))
				arguments__next(rest, &value);
	}
	return false;
}

static bool has_option(struct view rest, const char *const *options, struct view *ret_value)
{
	struct view arg;

	while (arguments__next(&rest, &arg)) {
		for (const char *const *o = options; *o; o++) {
			size_t n = strlen(*o);

			if (view_eq(arg, view_of(*o)))
				return arguments__next(&rest, ret_value);
			if (n > 2 && arg.len > n && arg.at[n] == '=' && !memcmp(arg.at, *o, n)) {
				*ret_value = (struct view){ arg.at + n + 1, arg.len - n - 1 };
				return true;
			}
		}
	}
	return false;
}

/* Whether one of the options stands in the arguments before `end`. */
static bool has_flag_before(struct view rest, const char *end, const char *const *options)
{
	struct view arg;

	rest.len = (size_t)(end - rest.at);
	while (arguments__next(&rest, &arg))
		for (const char *const *o = options; *o; o++)
			if (view_eq(arg, view_of(*o)))
				return true;
	return false;
}

/* python: -m module, -c command; letters cluster ("-Im http.server"). */
static bool python_option(struct view arg, struct view *rest, bool *ret_module, struct view *ret)
{
	struct view value;

	if (arg.len > 1 && arg.at[1] == '-') {
		if (view_eq(arg, VIEW("--check-hash-based-pycs")))
			arguments__next(rest, &value);
		return true;
	}
	for (size_t i = 1; i < arg.len; i++) {
		struct view after = { arg.at + i + 1, arg.len - i - 1 };

		switch (arg.at[i]) {
		case 'W':
		case 'X':
			if (!after.len)
				arguments__next(rest, &value);
			return true;
		case 'm':
			*ret_module = true;
			if (after.len)
				*ret = after;
			else
				arguments__next(rest, ret);
			return true;
		case 'c':
			return false;
		}
	}
	return true;
}

static bool python_program(const struct service_facts *facts, struct view rest, char *ret)
{
	struct view program = { NULL, 0 };
	bool module = false;

	while (!program.len) {
		struct view arg;

		if (!arguments__next(&rest, &arg))
			return false;
		if (!arg.len)
			continue;
		if (arg.at[0] != '-')
			program = arg;
		else if (arg.len == 1 || !python_option(arg, &rest, &module, &program))
			return false;
	}
	if (script__python_server(facts, module ? program : path__base(program), rest, ret))
		return true;
	return module ? script__take(program, ret) : script__name(facts, program, ret);
}

static bool uwsgi_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const files[] = { "--wsgi-file", "--file", NULL };
	static const char *const modules[] = { "--module", "-w", "--wsgi", NULL };
	struct view value;

	if (has_option(rest, modules, &value))
		return script__module(value, ret);
	return has_option(rest, files, &value) && script__name(facts, value, ret);
}

static bool node_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = {
		"-r",
		"--require",
		"--import",
		"--loader",
		"--experimental-loader",
		"-C",
		"--conditions",
		"--env-file",
		"--inspect-port",
		"--title",
		"--icu-data-dir",
		"--openssl-config",
		"--watch-path",
		"--input-type",
		"--diagnostic-dir",
		NULL,
	};
	static const char *const evals[] = { "-e", "--eval", "-p", "--print", "-pe", NULL };
	struct view at = rest, script, name;

	if (!positional(&at, with_value, &script))
		return false;
	if (view_eq(script, VIEW("inspect")) && !positional(&at, with_value, &script))
		return false;
	if (has_flag_before(rest, script.at, evals))
		return false;
	/* PM2 runs everything through one script of its own, and says whose in the environment. */
	if (memmem(script.at, script.len, "/ProcessContainer", 17) &&
	    environ__get(facts->environ, "name", &name))
		return script__take(name, ret);
	return script__name(facts, script, ret);
}

/* deno, bun: [command] [options] script. */
static bool deno_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = { "-c", "--config", "--import-map", "-r", NULL };
	static const char *const commands[] = { "run", "serve", "x", "exec", NULL };
	struct view script;

	if (!positional(&rest, with_value, &script))
		return false;
	for (const char *const *c = commands; *c; c++)
		if (view_eq(script, view_of(*c)))
			return positional(&rest, with_value, &script) &&
			       script__name(facts, script, ret);
	return script__name(facts, script, ret);
}

static bool java_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = {
		"-cp",		 "-classpath",
		"--class-path",	 "-p",
		"--module-path", "--upgrade-module-path",
		"--add-modules", "--limit-modules",
		"--add-reads",	 "--add-exports",
		"--add-opens",	 "--enable-native-access",
		"--source",	 NULL,
	};
	static const char *const jar[] = { "-jar", NULL };
	static const char *const module[] = { "-m", "--module", NULL };
	static const char *const define = "-Dspring.application.name=";
	struct view at = rest, name, program = { NULL, 0 }, head = rest;

	if (positional(&at, with_value, &program))
		head.len = (size_t)(program.at + program.len - rest.at);
	/* -jar's and -m's value looks like the first positional, or is it */
	for (at = head; arguments__next(&at, &name);)
		if (name.len > strlen(define) && !memcmp(name.at, define, strlen(define)))
			return script__take((struct view){ name.at + strlen(define),
							   name.len - strlen(define) },
					    ret);
	if (environ__get(facts->environ, "SPRING_APPLICATION_NAME", &name) &&
	    script__take(name, ret))
		return true;
	if (has_option(head, jar, &name))
		return script__name(facts, name, ret);
	if (has_option(head, module, &name))
		return script__module(name, ret);
	if (!program.len || program.at[0] == '@')
		return false;
	if (memchr(program.at, '/', program.len) ||
	    (program.len > 5 && !memcmp(program.at + program.len - 5, ".java", 5)))
		return script__name(facts, program, ret);
	return script__take(program, ret);
}

static bool ruby_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = { "-C", "-E", "-I", "-r", "--encoding", NULL };
	static const char *const evals[] = { "-e", NULL };
	static const char *const servers[] = { "puma",	 "unicorn", "rackup",  "thin",	 "rails",
					       "bundle", "rake",    "sidekiq", "falcon", NULL };
	struct view script, at = rest;

	if (!positional(&at, with_value, &script))
		return false;
	if (has_flag_before(rest, script.at, evals))
		return false;
	/* These run what is in the working directory. */
	for (const char *const *s = servers; *s; s++)
		if (view_eq(path__base(script), view_of(*s)) && script__directory(facts->cwd, ret))
			return true;
	return script__name(facts, script, ret);
}

static bool php_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = { "-c", "-d", "-S", "-t", "-z", "-g", "-E", NULL };
	static const char *const file[] = { "-f", "--file", NULL };
	static const char *const code[] = { "-r", "-R", "-B", "--run", NULL };
	static const char *const root[] = { "-t", "--docroot", NULL };
	static const char *const server[] = { "-S", "--server", NULL };
	struct view script, at = rest;

	if (has_option(rest, code, &script))
		return false;
	if (has_option(rest, file, &script) || positional(&at, with_value, &script))
		return script__name(facts, script, ret);
	if (!has_option(rest, server, &script))
		return false;
	if (has_option(rest, root, &script) && script.len && script.at[0] == '/')
		return script__directory(script, ret);
	return script__directory(facts->cwd, ret);
}

static bool dotnet_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = {
		"--additionalprobingpath", "--depsfile",      "--fx-version",
		"--roll-forward",	   "--runtimeconfig", NULL
	};
	struct view script;

	while (positional(&rest, with_value, &script)) {
		if (view_eq(script, VIEW("exec")))
			continue;
		return script.len > 4 && !memcmp(script.at + script.len - 4, ".dll", 4) &&
		       script__name(facts, script, ret);
	}
	return false;
}

static bool perl_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = { "-I", NULL };
	struct view script, arg, before = rest;

	if (!positional(&rest, with_value, &script))
		return false;
	before.len = (size_t)(script.at - before.at);
	while (arguments__next(&before, &arg))
		if (arg.len > 1 && arg.at[0] == '-' && arg.at[1] != '-' && arg.at[1] != 'M' &&
		    arg.at[1] != 'I' &&
		    (memchr(arg.at, 'e', arg.len) || memchr(arg.at, 'E', arg.len)))
			return false;
	return script__name(facts, script, ret);
}

static bool shell_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const with_value[] = { "-o", "-O", "--rcfile", "--init-file", NULL };
	struct view script, arg, before = rest;

	if (!positional(&rest, with_value, &script))
		return false;
	before.len = (size_t)(script.at - before.at);
	while (arguments__next(&before, &arg))
		if (arg.len > 1 && arg.at[0] == '-' && arg.at[1] != '-' &&
		    memchr(arg.at, 'c', arg.len))
			return false;
	return script__name(facts, script, ret);
}

static bool beam_program(const struct service_facts *facts, struct view rest, char *ret)
{
	static const char *const node[] = { "-sname", "-name", NULL };
	struct view name;
	const char *at;

	if (environ__get(facts->environ, "RELEASE_NAME", &name) && script__take(name, ret))
		return true;
	if (!has_option(rest, node, &name))
		return false;
	at = memchr(name.at, '@', name.len);
	if (at)
		name.len = (size_t)(at - name.at);
	return script__take(name, ret);
}

struct interpreter {
	const char *name; /* of the executable, without trailing digits and dots */
	enum runtime runtime;
	/* rest: the arguments after the first */
	bool (*program)(const struct service_facts *facts, struct view rest, char *ret);
};

static const struct interpreter interpreters[] = {
	{ "python", RUNTIME_PYTHON, python_program },
	{ "pypy", RUNTIME_PYTHON, python_program },
	{ "uwsgi", RUNTIME_UNKNOWN, uwsgi_program },
	{ "uwsgi-core", RUNTIME_UNKNOWN, uwsgi_program },
	{ "node", RUNTIME_NODE, node_program },
	{ "nodejs", RUNTIME_NODE, node_program },
	{ "bun", RUNTIME_NODE, deno_program },
	{ "deno", RUNTIME_NODE, deno_program },
	{ "java", RUNTIME_JAVA, java_program },
	{ "ruby", RUNTIME_RUBY, ruby_program },
	{ "php", RUNTIME_PHP, php_program },
	{ "php-cgi", RUNTIME_PHP, php_program },
	{ "php-fpm", RUNTIME_PHP, NULL },
	{ "dotnet", RUNTIME_DOTNET, dotnet_program },
	{ "perl", RUNTIME_PERL, perl_program },
	{ "beam.smp", RUNTIME_BEAM, beam_program },
	{ "bash", RUNTIME_NATIVE, shell_program },
	{ "dash", RUNTIME_NATIVE, shell_program },
	{ "sh", RUNTIME_NATIVE, shell_program },
};

const struct interpreter *interpreter__find(struct view exe_name)
{
	/* python3.11, python3.11-dbg is not a name that Debian uses; php8.2, ruby3.1, perl5.36.0 */
	while (exe_name.len &&
	       ((exe_name.at[exe_name.len - 1] >= '0' && exe_name.at[exe_name.len - 1] <= '9') ||
		exe_name.at[exe_name.len - 1] == '.'))
		exe_name.len--;
	for (size_t i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]); i++)
		if (view_eq(exe_name, view_of(interpreters[i].name)))
			return &interpreters[i];
	return NULL;
}

enum runtime interpreter__runtime(const struct interpreter *interpreter)
{
	return interpreter->runtime;
}

bool interpreter__program(const struct interpreter *interpreter, const struct service_facts *facts,
			  char ret[SERVICE_NAME_BYTES])
{
	char split[SCRIPT_TITLE_MAX_BYTES];
	struct view rest = facts->cmdline, first;

	if (!interpreter->program || !arguments__next(&rest, &first))
		return false;
	/* A program may have written a title over its arguments: it is then a single string. */
	if (script__is_title(first, rest)) {
		if (script__from_title(first, ret))
			return true;
		rest = script__split_title(interpreter->name, first, split);
	}
	return interpreter->program(facts, rest, ret);
}
