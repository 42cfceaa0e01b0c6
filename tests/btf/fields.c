// SPDX-License-Identifier: Apache-2.0
/*
 * fields KERNEL BTF [-h HOOK]... [-n HOOK] OBJECT... - every type, field and enumerator that
 * the BPF objects name (their CO-RE relocations) and every function that they hook or call, looked
 * up in a kernel's own description of its types.
 *
 *   -h [?]KIND:NAME:TYPE,TYPE,...  a function or tracepoint and its arguments as the program takes
 *                                  them (fexit: the last one is what is returned); ?: may be absent
 *   -n HOOK                        the next object (and what is asked for it) is not loaded where
 *                                  this one is not there
 *
 * One line each: `ok` where it is there, of the right kind and size; `ok … absent` where it is not
 * and no instruction that needs it can be reached on that kernel, because an existence check (CO-RE)
 * decides so; `FAIL` else. Reachability is found by following each program with the constants that
 * those checks become, as the kernel's verifier does.
 */
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <linux/bpf.h>

/* enum bpf_core_relo_kind and struct bpf_core_relo of linux/bpf.h, which older headers lack. */
enum {
	RELO_OFFSET,
	RELO_SIZE,
	RELO_EXISTS,
	RELO_SIGNED,
	RELO_LSHIFT,
	RELO_RSHIFT,
	RELO_TYPE_LOCAL,
	RELO_TYPE_TARGET,
	RELO_TYPE_EXISTS,
	RELO_TYPE_SIZE,
	RELO_ENUM_EXISTS,
	RELO_ENUM_VALUE,
};
struct relo {
	__u32 insn_off, type_id, access_off, kind;
};
struct relo_section {
	__u32 name_off, n;
};
/* The beginning of .BTF.ext (include/uapi/linux/btf.h of libbpf, struct btf_ext_header). */
struct ext_header {
	__u16 magic;
	__u8 version, flags;
	__u32 header_len, func_off, func_len, line_off, line_len, relo_off, relo_len;
};

enum found { ABSENT, PRESENT, WRONG };

/* What one relocation names, and what came of it. */
struct named {
	char name[160], note[160];
	enum found found;
	char shape[80]; /* of the declaration */
	bool needed;	/* some reachable instruction cannot do without */
	bool checked;	/* its own existence is asked for */
	bool flavour;
};

static struct named all[1024];
static unsigned int n_all;
static struct btf *kernel;
static const char *kernel_name;

static void fatal(const char *what, const char *on)
{
	fprintf(stderr, "fields: %s %s: %s\n", what, on, strerror(errno));
	exit(2);
}

static const char *name_of(const struct btf *btf, __u32 off)
{
	return btf__name_by_offset(btf, off);
}

/* The name without its flavour. */
static size_t essential(const char *name)
{
	const char *flavour = strstr(name, "___");

	return flavour && flavour != name ? (size_t)(flavour - name) : strlen(name);
}

static const struct btf_type *plain(const struct btf *btf, __u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (btf_is_mod(t) || btf_is_typedef(t))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* A kernel type of this essential name and kind; NULL. */
static const struct btf_type *kernel_type_search(const char *name, bool is_enum)
{
	size_t len = essential(name);

	for (__u32 id = 1; id < btf__type_cnt(kernel); id++) {
		const struct btf_type *t = btf__type_by_id(kernel, id);
		const char *other = name_of(kernel, t->name_off);
		bool same_kind = is_enum ? btf_is_any_enum(t) : btf_is_composite(t);

		if (btf_is_typedef(t) && !is_enum && btf_is_composite(plain(kernel, id)))
			same_kind = true;
		if (same_kind && strlen(other) == len && !strncmp(other, name, len) &&
		    (is_enum || btf_vlen(plain(kernel, id))))
			return plain(kernel, id);
	}
	return NULL;
}

/* The same, each searched for once. */
static const struct btf_type *kernel_type(const char *name, bool is_enum)
{
	static struct {
		char name[64];
		const struct btf_type *type;
	} seen[256];
	static unsigned int n;

	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(seen[i].name, name))
			return seen[i].type;
	if (n == sizeof(seen) / sizeof(seen[0]))
		fatal("too many types", name);
	snprintf(seen[n].name, sizeof(seen[n].name), "%s", name);
	seen[n].type = kernel_type_search(name, is_enum);
	return seen[n++].type;
}

/* The member of that name, looked for in unnamed structs and unions, too. */
static const struct btf_member *kernel_member(const struct btf_type *t, const char *name)
{
	const struct btf_member *m = btf_members(t), *inner;

	for (int i = 0; i < btf_vlen(t); i++, m++) {
		const char *other = name_of(kernel, m->name_off);

		if (!strcmp(other, name))
			return m;
		if (!other[0] && btf_is_composite(plain(kernel, m->type))) {
			inner = kernel_member(plain(kernel, m->type), name);
			if (inner)
				return inner;
		}
	}
	return NULL;
}

/* Whether what our declaration says of a type holds for the kernel's. */
static bool agrees(const struct btf *btf, __u32 ours, __u32 theirs, char *note, size_t len)
{
	const struct btf_type *a = plain(btf, ours), *b = plain(kernel, theirs);
	const char *an, *bn;
	size_t n;

	if (btf_is_ptr(a) && btf_is_ptr(b)) {
		a = plain(btf, a->type);
		b = plain(kernel, b->type);
		an = name_of(btf, a->name_off);
		bn = name_of(kernel, b->name_off);
		snprintf(note, len, "pointer%s%s", an[0] ? " to " : "", an);
		n = essential(an);
		/* void * of ours takes any pointer */
		return !an[0] || !btf_is_composite(b) || (strlen(bn) == n && !strncmp(an, bn, n));
	}
	if (btf_is_array(a) && btf_is_array(b))
		return agrees(btf, btf_array(a)->type, btf_array(b)->type, note, len);
	if (btf_is_composite(a) && btf_is_composite(b)) {
		an = name_of(btf, a->name_off);
		bn = name_of(kernel, b->name_off);
		n = essential(an);
		snprintf(note, len, "struct %s", bn);
		return !an[0] || !bn[0] || (strlen(bn) == n && !strncmp(an, bn, n));
	}
	if ((btf_is_int(a) || btf_is_any_enum(a)) && (btf_is_int(b) || btf_is_any_enum(b))) {
		snprintf(note, len, "%u bytes", b->size);
		if (a->size != b->size)
			snprintf(note, len, "%u bytes, declared as %u", b->size, a->size);
		return a->size == b->size;
	}
	snprintf(note, len, "of another kind: %d, declared as %d", btf_kind(b), btf_kind(a));
	return false;
}

static struct named *remember(const char *name, enum found found, const char *note, bool flavour)
{
	struct named *at;

	for (at = all; at < all + n_all; at++)
		if (!strcmp(at->name, name))
			return at;
	if (n_all == sizeof(all) / sizeof(all[0]))
		fatal("too many names", name);
	at = &all[n_all++];
	snprintf(at->name, sizeof(at->name), "%s", name);
	snprintf(at->note, sizeof(at->note), "%s", note);
	at->found = found;
	at->flavour = flavour;
	return at;
}

static void shape_of(const struct btf *btf, __u32 id, char *to, size_t len)
{
	const struct btf_type *t = plain(btf, id);
	int kind = btf_kind(t);

	if (btf_is_ptr(t))
		t = plain(btf, t->type);
	snprintf(to, len, "%d %s", kind, btf_is_composite(t) ? name_of(btf, t->name_off) : "");
}

/* One step of a path: member m of t, or its alternative spelling in the kernel. */
static struct named *look_field(const struct btf *btf, const struct btf_type *t,
				const struct btf_member *m, const struct btf_type *k,
				const struct btf_type **ret_k)
{
	const char *type = name_of(btf, t->name_off), *member = name_of(btf, m->name_off);
	const struct btf_member *found = k ? kernel_member(k, member) : NULL;
	enum found state = found ? PRESENT : ABSENT;
	char name[160], note[160] = "";
	struct named *last;

	if (!k)
		snprintf(note, sizeof(note), "no such type");
	if (found && !agrees(btf, m->type, found->type, note, sizeof(note)))
		state = WRONG;
	*ret_k = found ? plain(kernel, found->type) : NULL;
	snprintf(name, sizeof(name), "%s.%s", type[0] ? type : "(unnamed)", member);
	last = remember(name, state, note, essential(type) != strlen(type));
	shape_of(btf, m->type, last->shape, sizeof(last->shape));
	return last;
}

/* Follows a path of indices ("0:1:2"); its last step, with the worst that was met on the way. */
static struct named *look_path(const struct btf *btf, __u32 id, const char *path, bool *ret_there)
{
	const struct btf_type *t = plain(btf, id), *k;
	struct named *last = NULL;
	char *rest;

	k = kernel_type(name_of(btf, t->name_off), false);
	*ret_there = k != NULL;
	strtoul(path, &rest, 10);
	if (!*rest) {
		char name[160];

		snprintf(name, sizeof(name), "struct %s", name_of(btf, t->name_off));
		return remember(name, k ? PRESENT : ABSENT, "", false);
	}
	while (*rest == ':') {
		unsigned long i = strtoul(rest + 1, &rest, 10);

		if (btf_is_array(t)) {
			t = plain(btf, btf_array(t)->type);
			k = k && btf_is_array(k) ? plain(kernel, btf_array(k)->type) : NULL;
			continue;
		}
		last = look_field(btf, t, &btf_members(t)[i], k, &k);
		if (last->found == ABSENT)
			*ret_there = false;
		t = plain(btf, btf_members(t)[i].type);
	}
	return last;
}

static struct named *look_enumerator(const struct btf *btf, __u32 id, const char *path)
{
	const struct btf_type *t = plain(btf, id);
	const char *type = name_of(btf, t->name_off);
	const char *value = name_of(btf, btf_enum(t)[strtoul(path, NULL, 10)].name_off);
	const struct btf_type *k = kernel_type(type, true);
	bool found = false;
	char name[160];

	for (int i = 0; k && !found && i < btf_vlen(k); i++)
		found = !strcmp(name_of(kernel, btf_is_enum(k) ? btf_enum(k)[i].name_off :
								 btf_enum64(k)[i].name_off),
				value);
	snprintf(name, sizeof(name), "enum %s %s", type, value);
	return remember(name, found ? PRESENT : ABSENT, "", false);
}

/* What an instruction with a relocation becomes. */
struct effect {
	enum { NOTHING, CONSTANT, NEEDS } what;
	__u32 value;
	struct named *named;
};

static struct effect look(const struct btf *btf, const struct relo *r)
{
	const char *path = name_of(btf, r->access_off);
	struct effect effect = { NEEDS, 0, NULL };
	bool there = true;

	if (r->kind == RELO_TYPE_LOCAL)
		return (struct effect){ NOTHING, 0, NULL };
	if (r->kind == RELO_ENUM_EXISTS || r->kind == RELO_ENUM_VALUE) {
		effect.named = look_enumerator(btf, r->type_id, path);
		there = effect.named->found != ABSENT;
	} else {
		effect.named = look_path(btf, r->type_id, path, &there);
	}
	if (r->kind == RELO_EXISTS || r->kind == RELO_ENUM_EXISTS || r->kind == RELO_TYPE_EXISTS) {
		effect.what = CONSTANT;
		effect.value = there;
		effect.named->checked = true;
	} else if (there) {
		effect.what = NOTHING;
	}
	return effect;
}

/* What is known of the registers before an instruction. */
struct state {
	bool reached;
	bool known[11];
	__u64 value[11];
};

struct code {
	const struct bpf_insn *insns;
	unsigned int n;
	struct effect *effects;
	struct state *before;
	unsigned int *work, n_work;
};

/* Joins what is known there with what comes from here; looked at again where that changes it. */
static void flow(struct code *code, unsigned int to, const struct state *from)
{
	struct state *at;
	bool changed = false;

	if (to >= code->n)
		return;
	at = &code->before[to];
	if (!at->reached) {
		*at = *from;
		at->reached = changed = true;
	} else {
		for (int r = 0; r < 11; r++)
			if (at->known[r] && (!from->known[r] || from->value[r] != at->value[r])) {
				at->known[r] = false;
				changed = true;
			}
	}
	if (changed)
		code->work[code->n_work++ % (code->n * 16)] = to;
}

static void step(struct code *code, unsigned int i)
{
	const struct bpf_insn *insn = &code->insns[i];
	__u8 class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);
	struct state s = code->before[i];
	bool wide = insn->code == (BPF_LD | BPF_IMM | BPF_DW);

	if (class == BPF_JMP || class == BPF_JMP32) {
		bool taken = true, passed = true;

		if (op == BPF_EXIT)
			return;
		if (op == BPF_CALL) {
			memset(s.known, 0, 6);
			flow(code, i + 1, &s);
			return;
		}
		if (op == BPF_JA)
			passed = false;
		else if (BPF_SRC(insn->code) == BPF_K && s.known[insn->dst_reg] &&
			 (op == BPF_JEQ || op == BPF_JNE)) {
			taken = (s.value[insn->dst_reg] == (__u64)(__s64)insn->imm) ==
				(op == BPF_JEQ);
			passed = !taken;
		}
		if (taken)
			flow(code, i + 1 + (unsigned int)insn->off, &s);
		if (passed)
			flow(code, i + 1, &s);
		return;
	}
	if (class == BPF_ALU || class == BPF_ALU64 || class == BPF_LDX || class == BPF_LD) {
		bool move = (class == BPF_ALU || class == BPF_ALU64) && op == BPF_MOV;

		if (move && code->effects[i].what == CONSTANT) {
			s.known[insn->dst_reg] = true;
			s.value[insn->dst_reg] = code->effects[i].value;
		} else if (move && BPF_SRC(insn->code) == BPF_K && !code->effects[i].named) {
			s.known[insn->dst_reg] = true;
			s.value[insn->dst_reg] = (__u64)(__s64)insn->imm;
		} else if (move && BPF_SRC(insn->code) == BPF_X) {
			s.known[insn->dst_reg] = s.known[insn->src_reg];
			s.value[insn->dst_reg] = s.value[insn->src_reg];
		} else {
			s.known[insn->dst_reg] = false;
		}
	}
	flow(code, i + 1 + wide, &s);
}

static Elf_Scn *section_named(Elf *elf, size_t strings, const char *name, GElf_Shdr *ret)
{
	for (Elf_Scn *s = NULL; (s = elf_nextscn(elf, s));)
		if (gelf_getshdr(s, ret) && !strcmp(elf_strptr(elf, strings, ret->sh_name), name))
			return s;
	return NULL;
}

/* Every function of the section is taken to be called, with anything in its registers. */
static void enter_functions(Elf *elf, size_t section, struct code *code)
{
	const struct state anything = { .reached = true };
	GElf_Shdr header;
	GElf_Sym symbol;

	for (Elf_Scn *s = NULL; (s = elf_nextscn(elf, s));) {
		Elf_Data *data;

		if (!gelf_getshdr(s, &header) || header.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(s, NULL);
		for (int i = 0; gelf_getsym(data, i, &symbol); i++)
			if (symbol.st_shndx == section && GELF_ST_TYPE(symbol.st_info) == STT_FUNC)
				flow(code, (unsigned int)(symbol.st_value / 8), &anything);
	}
}

static void look_section(Elf *elf, const struct btf *btf, const char *name,
			 const struct relo *relos, __u32 n, __u32 size)
{
	struct code code = { 0 };
	size_t strings;
	GElf_Shdr header;
	Elf_Scn *section;
	Elf_Data *data;

	elf_getshdrstrndx(elf, &strings);
	section = section_named(elf, strings, name, &header);
	data = section ? elf_getdata(section, NULL) : NULL;
	if (!data)
		fatal("no section", name);
	code.insns = data->d_buf;
	code.n = (unsigned int)(data->d_size / sizeof(*code.insns));
	code.effects = calloc(code.n, sizeof(*code.effects));
	code.before = calloc(code.n, sizeof(*code.before));
	code.work = calloc(code.n * 16, sizeof(*code.work));
	if (!code.effects || !code.before || !code.work)
		fatal("memory for", name);
	for (__u32 i = 0; i < n; i++) {
		const struct relo *r = (const void *)((const char *)relos + i * size);

		code.effects[r->insn_off / 8] = look(btf, r);
	}
	enter_functions(elf, elf_ndxscn(section), &code);
	for (unsigned int done = 0; done < code.n_work; done++)
		step(&code, code.work[done % (code.n * 16)]);
	for (unsigned int i = 0; i < code.n; i++)
		if (code.effects[i].what == NEEDS && code.before[i].reached)
			code.effects[i].named->needed = true;
	free(code.effects);
	free(code.before);
	free(code.work);
}

static const struct btf_type *kernel_proto(const char *kind, const char *name)
{
	char typedef_name[128];
	int id;

	if (strcmp(kind, "tp")) {
		id = btf__find_by_name_kind(kernel, name, BTF_KIND_FUNC);
		return id < 0 ? NULL : plain(kernel, btf__type_by_id(kernel, id)->type);
	}
	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
	id = btf__find_by_name_kind(kernel, typedef_name, BTF_KIND_TYPEDEF);
	return id < 0 ? NULL : plain(kernel, plain(kernel, id)->type);
}

/* Whether a kernel type is what the program takes: "NAME*" or a number of bytes. */
static bool takes(const char *ours, __u32 theirs)
{
	const struct btf_type *t = theirs ? plain(kernel, theirs) : NULL;
	size_t len = strlen(ours);

	if (!t)
		return false;
	if (ours[len - 1] != '*')
		return (btf_is_int(t) || btf_is_any_enum(t)) && t->size == (__u32)atoi(ours);
	if (!btf_is_ptr(t))
		return false;
	if (!strcmp(ours, "void*"))
		return true;
	t = plain(kernel, t->type);
	return btf_is_composite(t) && strlen(name_of(kernel, t->name_off)) == len - 1 &&
	       !strncmp(ours, name_of(kernel, t->name_off), len - 1);
}

static bool look_hook(char *text)
{
	bool may_lack = *text == '?', good = true;
	char *kind = strtok(text + may_lack, ":"), *name = strtok(NULL, ":"), *type;
	const struct btf_type *proto = kernel_proto(kind, name);
	int at = !strcmp(kind, "tp"); /* a tracepoint's first argument is the kernel's own */
	bool wrong = false;

	if (!proto) {
		printf("%s %s %s %s: absent%s\n", may_lack ? "ok" : "FAIL", kernel_name, kind, name,
		       may_lack ? ", as the loader knows" : "");
		return may_lack;
	}
	while ((type = strtok(NULL, ","))) {
		bool returned = !strcmp(kind, "fexit") && at == btf_vlen(proto);

		wrong = returned	      ? !takes(type, proto->type) :
			at >= btf_vlen(proto) ? true :
						!takes(type, btf_params(proto)[at].type);
		if (wrong)
			printf("FAIL %s %s %s: argument %d is no %s\n", kernel_name, kind, name, at,
			       type);
		good = good && !wrong;
		at++;
	}
	if (good)
		printf("ok %s %s %s: there, %d arguments agree\n", kernel_name, kind, name, at);
	return good;
}

/* Kernel functions that the object's programs call. */
static bool look_calls(const struct btf *btf)
{
	bool good = true;

	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		const char *name = name_of(btf, t->name_off);
		const struct btf_type *proto;
		bool same;

		if (!btf_is_func(t) || btf_vlen(t) != BTF_FUNC_EXTERN /* its linkage */)
			continue;
		proto = kernel_proto("call", name);
		same = proto && btf_vlen(proto) == btf_vlen(plain(btf, t->type));
		printf("%s %s call %s: %s\n", same ? "ok" : "FAIL", kernel_name, name,
		       same  ? "there" :
		       proto ? "of another number of arguments" :
			       "absent");
		good = good && same;
	}
	return good;
}

static bool look_object(const char *path)
{
	bool good;
	struct btf *btf = btf__parse_elf(path, NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct ext_header *header;
	const char *at, *end;
	GElf_Shdr section;
	size_t strings;
	Elf_Scn *ext;
	__u32 size;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	if (!btf || !elf || elf_getshdrstrndx(elf, &strings))
		fatal("cannot read", path);
	ext = section_named(elf, strings, ".BTF.ext", &section);
	if (!ext)
		fatal("no section .BTF.ext in", path);
	header = elf_getdata(ext, NULL)->d_buf;
	at = (const char *)header + header->header_len + header->relo_off;
	end = at + header->relo_len;
	memcpy(&size, at, sizeof(size));
	for (at += sizeof(size); at < end;) {
		const struct relo_section *s = (const void *)at;

		look_section(elf, btf, name_of(btf, s->name_off), (const void *)(s + 1), s->n,
			     size);
		at = (const char *)(s + 1) + (size_t)s->n * size;
	}
	good = look_calls(btf);
	elf_end(elf);
	close(fd);
	btf__free(btf);
	return good;
}

/* Which other field of the same struct is there, of those that come and go: what is used instead. */
static const char *instead_of(const struct named *absent)
{
	const char *other = "nothing, it is done without";
	size_t len = essential(absent->name);
	const char *dot = strchr(absent->name, '.');

	if (dot && (size_t)(dot - absent->name) < len)
		len = (size_t)(dot - absent->name);
	for (const struct named *n = all; n < all + n_all; n++)
		if (n != absent && n->found == PRESENT && (n->flavour || n->checked) &&
		    !strncmp(n->name, absent->name, len) &&
		    (n->name[len] == '.' || n->name[len] == '_') &&
		    strcmp(strchr(n->name, '.') ?: "", dot ?: "")) {
			other = n->name;
			if (!strcmp(n->shape, absent->shape))
				break;
		}
	return other;
}

static bool report(void)
{
	bool good = true;

	for (struct named *n = all; n < all + n_all; n++) {
		if (n->found == PRESENT) {
			printf("ok %s %s: there%s%s\n", kernel_name, n->name,
			       n->note[0] ? ", " : "", n->note);
		} else if (n->found == WRONG) {
			printf("FAIL %s %s: %s\n", kernel_name, n->name, n->note);
			good = false;
		} else if (n->needed) {
			printf("FAIL %s %s: absent, and no existence check keeps programs from it "
			       "%s\n",
			       kernel_name, n->name, n->note);
			good = false;
		} else {
			printf("ok %s %s: absent, never reached there; instead: %s\n", kernel_name,
			       n->name, instead_of(n));
		}
	}
	return good;
}

int main(int argc, char **argv)
{
	bool good = true;

	if (argc < 4) {
		fprintf(stderr, "usage: fields KERNEL BTF [-h HOOK]... [-n HOOK] OBJECT...\n");
		return 2;
	}
	kernel_name = argv[1];
	kernel = btf__parse(argv[2], NULL);
	if (!kernel)
		fatal("cannot read", argv[2]);
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "-h") && i + 1 < argc) {
			good = look_hook(argv[++i]) && good;
		} else if (!strcmp(argv[i], "-n") && i + 2 < argc) {
			const char *kind = strtok(argv[++i], ":"), *point = strtok(NULL, ":");

			if (kernel_proto(kind, point))
				continue;
			while (i + 3 < argc && !strcmp(argv[i + 1], "-h"))
				i += 2;
			printf("ok %s %s: not loaded there, as there is no %s %s\n", kernel_name,
			       strrchr(argv[++i], '/') + 1, kind, point);
		} else {
			good = look_object(argv[i]) && good;
		}
	}
	return !(report() && good);
}
