// SPDX-License-Identifier: Apache-2.0
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "probe/capture.h"
#include "probe/environment.h"

static const char help[] = "usage: sonde doctor [--json]\n"
			   "\n"
			   "Says what this kernel and these permissions allow, one sentence and "
			   "one fix each: the conditions,\n"
			   "then every tier, tried for real (loaded, attached, fired, taken off "
			   "again). Nothing of others is traced.\n"
			   "\n"
			   "  sudo sonde doctor\n"
			   "\n"
			   "Exit status 0 if sonde can trace here, else 1.\n";

static json_t *finding_json(const struct finding *f)
{
	static const char *const levels[] = { "ok", "note", "bad" };

	return json_pack("{s:s, s:s, s:s, s:s}", "name", f->name, "level", levels[f->level], "text",
			 f->text, "fix", f->fix);
}

static void print_json(const struct finding *findings, unsigned int n,
		       const struct tier_report *tiers, const char *chosen)
{
	json_t *root = json_object(), *list = json_array(), *tier_list = json_array();
	char *text;

	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, finding_json(&findings[i]));
	for (unsigned int i = 0; i < TIERS; i++)
		json_array_append_new(tier_list,
				      json_pack("{s:s, s:b, s:s, s:s}", "name", tiers[i].name,
						"available", tiers[i].available, "why",
						tiers[i].why, "fix", tiers[i].fix));
	json_object_set_new(root, "conditions", list);
	json_object_set_new(root, "tiers", tier_list);
	json_object_set_new(root, "tier", chosen ? json_string(chosen) : json_null());
	text = json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
	if (text)
		puts(text);
	free(text);
	json_decref(root);
}

static void print_line(const char *mark, const char *name, const char *text, const char *fix)
{
	printf("%-5s %-20s %s\n", mark, name, text);
	if (fix[0])
		printf("%-5s %-20s -> %s\n", "", "", fix);
}

static void print_text(const struct finding *findings, unsigned int n,
		       const struct tier_report *tiers, const char *chosen)
{
	static const char *const marks[] = { "ok", "note", "BAD" };

	for (unsigned int i = 0; i < n; i++)
		print_line(marks[findings[i].level], findings[i].name, findings[i].text,
			   findings[i].fix);
	for (unsigned int i = 0; i < TIERS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "tier %s", tiers[i].name);
		print_line(tiers[i].available ? "ok" : "no", name,
			   tiers[i].why[0] ? tiers[i].why : "loads, attaches and fires",
			   tiers[i].fix);
	}
	if (chosen)
		printf("\nsonde can trace here, by tier %s.\n", chosen);
	else
		printf("\nsonde cannot trace here: mend what is marked BAD first, then what stands "
		       "at the tiers.\n");
}

/* The first available one in the order in which a trace would take them. */
static const char *choose(const struct tier_report *tiers)
{
	struct kernel_features features;
	enum tier_id order[TIERS];
	unsigned int n;

	kernel_features__read(&features);
	n = tier__order(&features, order);
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < TIERS; k++)
			if (tiers[k].available && !strcmp(tiers[k].name, tier__name(order[i])))
				return tiers[k].name;
	return NULL;
}

int cmd_doctor(int argc, char **argv)
{
	static struct finding findings[FINDINGS_MAX];
	static struct tier_report tiers[TIERS];
	bool json = argc > 1 && !strcmp(argv[1], "--json");
	const char *chosen;
	unsigned int n;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(help, stdout);
		return EXIT_DONE;
	}
	if (argc > 1 && !json) {
		fprintf(stderr,
			"sonde doctor: unknown argument '%s'; usage: sonde doctor [--json]\n",
			argv[1]);
		return EXIT_USAGE;
	}
	n = environment__look(findings, FINDINGS_MAX);
	capture__report(tiers);
	chosen = choose(tiers);
	if (json)
		print_json(findings, n, tiers, chosen);
	else
		print_text(findings, n, tiers, chosen);
	return chosen ? EXIT_DONE : EXIT_FAILED;
}
