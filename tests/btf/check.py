# SPDX-License-Identifier: Apache-2.0
"""bpf/lib/kernel.h against the kernels' own types: those of the matrix and the running one.

What is looked up comes from the BPF objects (their CO-RE relocations) and, for hooks, from the
sources' BPF_PROG() and BPF_KPROBE(); nothing is listed by hand. See fields.c for what a line says.
A kernel's BTF is taken out of its image once and kept beside it.
"""

import lzma
import os
import pathlib
import re
import struct
import subprocess
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTPUT = ROOT / os.environ.get("OUTPUT", "build")
CACHE = pathlib.Path(os.environ.get("SONDE_CACHE", "/var/cache/sonde"))
CFLAGS = "-std=gnu17 -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -O2 -g -D_GNU_SOURCE"
KERNELS = os.environ.get("KERNELS", "k510 k61 k612 knew").split()

HOOK = re.compile(
    r'(?:SEC\("(fentry|fexit|kprobe|kretprobe|tp_btf)/(\w+)"\)|TRACEPOINT\("(\w+)"\))\s*'
    r"int BPF_(?:PROG|KPROBE|KRETPROBE)\(\w+((?:,[^)]*)?)\)"
)
CAST = "bpf_rdonly_cast"
BYTES = {"int": 4, "unsigned long": 8, "long": 8, "bool": 1}


def unpack(image):
    """The ELF file inside a kernel image, whichever way it is packed."""
    for magic, decode in (
        (b"\xfd7zXZ\0", lambda b: lzma.LZMADecompressor().decompress(b)),
        (b"\x1f\x8b\x08", lambda b: zlib.decompressobj(31).decompress(b)),
        # what follows the packed part is not theirs: they say so and exit with 1
        (b"\x28\xb5\x2f\xfd", lambda b: subprocess.run(["zstd", "-dcq"], input=b, capture_output=True).stdout),
        (b"\x02!L\x18", lambda b: subprocess.run(["lz4", "-dcq"], input=b, capture_output=True).stdout),
    ):
        at = image.find(magic)
        while at >= 0:
            try:
                found = decode(image[at:])
            except (lzma.LZMAError, zlib.error):
                found = b""
            if found.startswith(b"\x7fELF"):
                return found
            at = image.find(magic, at + 1)
    raise SystemExit("btf: a kernel image that is packed in an unknown way")


def section(elf, wanted):
    """The bytes of one section of a 64-bit ELF file."""
    start, size, count, names = *struct.unpack_from("<Q", elf, 0x28), *struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, start + i * size) for i in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        end = elf.index(b"\0", strings + name)
        if elf[strings + name : end].decode() == wanted:
            return elf[offset : offset + length]
    raise SystemExit(f"btf: a kernel without a section {wanted}")


def kernel_btf(name):
    """Where the BTF of a kernel of the matrix is, taken out of its image where that was not done yet."""
    folder = CACHE / "kernels" / name
    kept = folder / ".btf"
    if not kept.exists():
        images = sorted([*folder.glob("boot/vmlinuz-*"), *folder.glob("usr/lib/modules/*/vmlinuz")])
        if not images:
            return None
        fresh = kept.with_name(f".btf.{os.getpid()}")
        fresh.write_bytes(section(unpack(images[0].read_bytes()), ".BTF"))
        fresh.rename(kept)
    return kept


def argument_type(text):
    """"struct sock *sk" -> "sock*", "unsigned long size" -> "8"."""
    text = text.replace("const ", "").strip()
    pointer = re.fullmatch(r"(?:struct )?(\w+) \*\w+", text)
    return f"{pointer[1]}*" if pointer else str(BYTES[text.rsplit(" ", 1)[0]])


def hooks(source, asked):
    """The hooks of a source file, as fields wants them; a name in `asked` the loader looks for itself."""
    for kind, function, tracepoint, arguments in HOOK.findall(source.read_text()):
        name = function or tracepoint
        kind = "tp" if tracepoint or kind == "tp_btf" else kind
        types = [argument_type(a) for a in arguments.split(",")[1:]] if kind != "kretprobe" else []
        # clang-format may put them on lines of their own
        yield f"{'?' if name in asked else ''}{kind}:{name}:{','.join(types)}"


def main():
    program = OUTPUT / "test/fields"
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", *CFLAGS.split(), "-o", program, HERE / "fields.c", "-lbpf", "-lelf"], check=True)
    asked = set(re.findall(r'"(?:btf_trace_)?(\w+)"', (ROOT / "user/probe/tier.c").read_text()))
    arguments = []
    for source in sorted((ROOT / "bpf").rglob("*.[ch]")):
        found = list(hooks(source, asked))
        # an object whose tracepoints, or whose casts, may be absent is loaded where they are not
        lacking = [hook[1:] for hook in found if hook.startswith("?tp:")]
        if CAST in asked and "#define SONDE_CAST" in source.read_text():
            lacking.append(f"call:{CAST}")
        arguments += ["-n", ":".join(lacking[0].split(":")[:2])] if lacking else []
        arguments += [word for hook in found for word in ("-h", hook)]
        if not source.name.endswith(".bpf.c"):
            continue
        arguments.append(str(OUTPUT / "bpf" / source.with_suffix(".o").name))
    failed = False
    running = pathlib.Path("/sys/kernel/btf/vmlinux")
    kernels = [(name, kernel_btf(name)) for name in KERNELS]
    for name, btf in [*kernels, ("running", running if running.exists() else None)]:
        if btf is None:
            print(f"skip {name}: not here (tests/vm/kernels.sh fetches kernels)")
            continue
        failed |= subprocess.run([program, name, btf, *arguments]).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
