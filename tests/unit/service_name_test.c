// SPDX-License-Identifier: Apache-2.0
/* Protects: the precedence of names, and the name of what an interpreter runs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "probe/service_name.h"

struct row {
	const char *exe, *cmdline, *environ, *cwd, *expected;
};

/* Blanks separate arguments, "~" stands for a blank inside of one. */
static struct view arguments(const char *text)
{
	size_t n = text[0] ? strlen(text) + 1 : 0;
	char *to = malloc(n ? n : 1); /* of the exact size: reading past it is found */

	for (size_t i = 0; i < n; i++)
		to[i] = text[i] == ' ' ? '\0' : text[i] == '~' ? ' ' : text[i];
	return (struct view){ to, n };
}

static void check_row(const struct row *row)
{
	struct service_facts facts = { .exe_name = view_of(row->exe),
				       .cmdline = arguments(row->cmdline),
				       .environ = arguments(row->environ),
				       .cwd = view_of(row->cwd) };
	char name[SERVICE_NAME_BYTES];

	service_name__choose(&facts, name);
	if (strcmp(name, row->expected) != 0)
		print_error("for: %s\n", row->cmdline);
	assert_string_equal(name, row->expected);
	free((void *)facts.cmdline.at);
	free((void *)facts.environ.at);
}

static void test_python(void **state)
{
	static const struct row rows[] = {
		{ "python3.11", "python3 app.py", "", "/srv", "app" },
		{ "python3", "/usr/bin/python3 -u -X dev /srv/shop/orders.py --port 80", "", "/",
		  "orders" },
		{ "python3", "python3 -Wignore -Bu app.py", "", "/", "app" },
		{ "python3", "python3 -W ignore app.py", "", "/", "app" },
		{ "python3", "python3 -m shop.main", "", "/", "shop.main" },
		{ "python3", "python3 -Im http.server 80", "", "/", "http.server" },
		{ "python3", "python3 -mshop", "", "/", "shop" },
		{ "python3", "python3 -c import~time", "", "/", "unknown_service:python3" },
		{ "python3", "python3 -uc import~time x.py", "", "/", "unknown_service:python3" },
		{ "python3", "python3", "", "/", "unknown_service:python3" },
		{ "python3", "python3 -", "", "/", "unknown_service:python3" },
		{ "python3", "python3 -m", "", "/", "unknown_service:python3" },
		{ "python3", "python3 manage.py runserver", "", "/srv/shop", "shop" },
		{ "python3", "python3 /srv/shop/src/manage.py runserver", "", "/", "shop" },
		{ "python3", "python3 /srv/shop/__main__.py", "", "/", "shop" },
		{ "python3", "python3 .", "", "/srv/shop", "shop" },
		{ "python3", "/v/bin/python /v/bin/gunicorn -w 4 -b 0.0.0.0:80 shop.wsgi:app", "",
		  "/", "shop" },
		{ "python3", "/v/bin/python /v/bin/gunicorn -k uvicorn.workers.UvicornWorker", "",
		  "/", "gunicorn" },
		{ "python3", "/v/bin/python /v/bin/gunicorn --workers 2 orders", "", "/",
		  "orders" },
		{ "python3", "python3 -m uvicorn --host localhost:1 shop.main:app --reload", "",
		  "/", "shop.main" },
		{ "python3", "python3 /v/bin/uvicorn main:create_app() --factory", "", "/",
		  "main" },
		{ "python3", "python3 /v/bin/celery -A shop worker -l info", "", "/", "shop" },
		{ "python3", "python3 /v/bin/flask --app hello run", "", "/", "hello" },
		{ "python3", "python3 -m flask run", "FLASK_APP=shop.py", "/", "shop" },
		{ "python3", "gunicorn:~worker~[shop.wsgi:app]", "", "/", "shop" },
		{ "python3", "python3~/srv/app.py~--x", "", "/", "app" },
		{ "uwsgi-core", "uwsgi --http :80 --module shop.wsgi:app", "", "/", "shop" },
		{ "uwsgi-core", "uwsgi --wsgi-file=/srv/orders.py", "", "/", "orders" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

static void test_node(void **state)
{
	static const struct row rows[] = {
		{ "node", "node server.js", "", "/srv", "server" },
		{ "node", "node -r ./tracing.js --max-old-space-size=400 /srv/web.mjs", "", "/",
		  "web" },
		{ "node", "node --require ./t.js --import x.mjs api.ts", "", "/", "api" },
		{ "node", "node index.js", "", "/srv/shop", "shop" },
		{ "node", "node /srv/shop/dist/index.js", "", "/", "shop" },
		{ "node", "node ./dist/index.js", "", "/srv/shop", "shop" },
		{ "node", "node .", "", "/srv/shop", "shop" },
		{ "node", "node /srv/shop/node_modules/.bin/next start", "", "/", "shop" },
		{ "node", "node node_modules/.bin/next start", "", "/srv/cart", "cart" },
		{ "node", "node /usr/lib/node_modules/npm/bin/npm-cli.js start", "", "/", "npm" },
		{ "node", "node /usr/lib/node_modules/pm2/lib/ProcessContainerFork.js",
		  "name=orders", "/", "orders" },
		{ "node", "node -e setTimeout() 1", "", "/", "unknown_service:node" },
		{ "node", "node", "", "/", "unknown_service:node" },
		{ "node", "node~/srv/shop.js", "", "/", "shop" },
		{ "deno", "deno run --allow-net main.ts", "", "/", "main" },
		{ "bun", "bun server.ts", "", "/", "server" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

static void test_java(void **state)
{
	static const struct row rows[] = {
		{ "java", "java -jar /srv/shop-1.2.jar --port 80", "", "/", "shop-1.2" },
		{ "java", "/usr/bin/java -Xmx1g -Dx=y -cp a.jar:b.jar com.example.Main arg", "",
		  "/", "com.example.Main" },
		{ "java", "java --class-path lib Main", "", "/", "Main" },
		{ "java", "java -p mods -m shop/com.example.Main", "", "/", "shop" },
		{ "java", "java --module=shop/com.example.Main", "", "/", "shop" },
		{ "java", "java Hello.java", "", "/", "Hello" },
		{ "java", "java -Dspring.application.name=cart -jar app.jar", "", "/", "cart" },
		{ "java", "java -jar app.jar -Dspring.application.name=cart", "", "/", "app" },
		{ "java", "java -jar app.jar", "SPRING_APPLICATION_NAME=cart", "/", "cart" },
		{ "java", "java -Dotel.service.name=pay -jar app.jar", "OTEL_SERVICE_NAME=other",
		  "/", "pay" },
		{ "java", "java -jar app.jar", "JAVA_TOOL_OPTIONS=-Dotel.service.name=pay", "/",
		  "pay" },
		{ "java", "java -version", "", "/", "unknown_service:java" },
		{ "java", "java @args", "", "/", "unknown_service:java" },
		{ "java", "java -jar", "", "/", "unknown_service:java" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

static void test_others(void **state)
{
	static const struct row rows[] = {
		{ "ruby3.1", "ruby -I lib /srv/api.rb", "", "/", "api" },
		{ "ruby3.1", "puma~5.6.5~(tcp://0.0.0.0:9292)~[shop]", "", "/", "shop" },
		{ "ruby3.1", "puma:~cluster~worker~0:~77~[shop]", "", "/", "shop" },
		{ "ruby3.1", "ruby bin/rails server", "", "/srv/shop", "shop" },
		{ "ruby3.1", "ruby -e puts", "", "/srv", "unknown_service:ruby3.1" },
		{ "php8.2", "php -S 127.0.0.1:80 -t /srv/shop/public", "", "/", "shop" },
		{ "php8.2", "php -S 127.0.0.1:80", "", "/srv/shop", "shop" },
		{ "php8.2", "php -d a=b worker.php", "", "/", "worker" },
		{ "php8.2", "php artisan queue:work", "", "/srv/shop", "shop" },
		{ "php8.2", "php -r echo~1;", "", "/", "unknown_service:php8.2" },
		{ "php-fpm8.2", "php-fpm:~pool~www", "", "/", "unknown_service:php-fpm8.2" },
		{ "dotnet", "dotnet /srv/Shop.Api.dll --urls x", "", "/", "Shop.Api" },
		{ "dotnet", "dotnet exec --depsfile x.json Shop.dll", "", "/", "Shop" },
		{ "dotnet", "dotnet run", "", "/", "unknown_service:dotnet" },
		{ "perl", "perl -w /srv/api.pl", "", "/", "api" },
		{ "perl", "perl -we print", "", "/", "unknown_service:perl" },
		{ "perl", "perl -e print x", "", "/", "unknown_service:perl" },
		{ "beam.smp", "beam.smp -- -root /x -sname rabbit@host", "", "/", "rabbit" },
		{ "beam.smp", "beam.smp -- -root /x", "RELEASE_NAME=shop", "/", "shop" },
		{ "bash", "bash -e /srv/poll.sh", "", "/", "poll" },
		{ "bash", "bash -ec ls", "", "/", "unknown_service:bash" },
		{ "bash", "-bash", "", "/", "unknown_service:bash" },
		{ "nginx", "nginx:~worker~process", "", "/", "unknown_service:nginx" },
		{ "shop", "./shop server.js", "", "/", "unknown_service:shop" },
		{ "", "", "", "", "unknown_service" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

static void test_precedence(void **state)
{
	static const char all[] = "OTEL_SERVICE_NAME=a", empty[] = "OTEL_SERVICE_NAME=";
	struct service_facts facts = { .exe_name = VIEW("python3"),
				       .cmdline = { "python3\0app.py", 15 },
				       .environ = { all, sizeof(all) },
				       .attribute = VIEW("b"),
				       .unit = VIEW("c") };
	char name[SERVICE_NAME_BYTES];

	assert_int_equal(service_name__choose(&facts, name), SERVICE_FROM_ENVIRONMENT);
	assert_string_equal(name, "a");
	facts.environ = (struct view){ empty, sizeof(empty) }; /* empty means unset */
	assert_int_equal(service_name__choose(&facts, name), SERVICE_FROM_ATTRIBUTES);
	assert_string_equal(name, "b");
	facts.attribute.len = 0;
	assert_int_equal(service_name__choose(&facts, name), SERVICE_FROM_UNIT);
	assert_string_equal(name, "c");
	facts.unit.len = 0;
	assert_int_equal(service_name__choose(&facts, name), SERVICE_FROM_PROGRAM);
	assert_string_equal(name, "app");
	facts.cmdline.len = 0;
	assert_int_equal(service_name__choose(&facts, name), SERVICE_FROM_EXECUTABLE);
	assert_string_equal(name, "unknown_service:python3");
	assert_string_equal(service_name__source(SERVICE_FROM_UNIT), "systemd unit");
}

static void test_environ(void **state)
{
	static const char text[] = "A=1\0AB=2\0A=3\0B\0=x\0C=";
	struct view environ = { text, sizeof(text) }, value;

	assert_true(environ__get(environ, "A", &value));
	assert_true(view_eq(value, VIEW("1"))); /* the first, as getenv(3) */
	assert_true(environ__get(environ, "AB", &value));
	assert_false(environ__get(environ, "B", &value));
	assert_true(environ__get(environ, "C", &value));
	assert_int_equal(value.len, 0);
	assert_false(environ__get((struct view){ NULL, 0 }, "A", &value));
}

/* Names longer than a service's name may be are cut, whatever source they come from. */
static void test_long(void **state)
{
	char text[70000], name[SERVICE_NAME_BYTES];
	struct service_facts facts = { .exe_name = VIEW("python3"),
				       .cmdline = { text, sizeof(text) } };

	memset(text, 'x', sizeof(text));
	memcpy(text, "python3", 8);
	assert_int_equal(service_name__choose(&facts, name), SERVICE_FROM_PROGRAM);
	assert_int_equal(strlen(name), SERVICE_NAME_BYTES - 1);
	facts.exe_name = (struct view){ text + 100, 5000 };
	assert_int_equal(service_name__choose(&facts, name), SERVICE_FROM_EXECUTABLE);
	memset(text, ' ', 2000);
	memcpy(text, "python3", 7);
	facts.exe_name = VIEW("python3");
	service_name__choose(&facts, name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_python),	   cmocka_unit_test(test_node),
		cmocka_unit_test(test_java),	   cmocka_unit_test(test_others),
		cmocka_unit_test(test_precedence), cmocka_unit_test(test_environ),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
