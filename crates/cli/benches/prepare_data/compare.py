"""Compares the speed of `ldrop data prepare` with that of Python's `datasets` and `tokenizers`.

    python3 -m venv venv && venv/bin/pip install datasets tokenizers tiktoken numpy pyarrow
    venv/bin/python crates/cli/benches/prepare_data/compare.py --ldrop target/release/ldrop \
        --text TEXT... --dump pages.xml.bz2 --work FOLDER

Both programs turn the same files into GPT-2's tokens in a file, in alternation. The files are made in
--work from --text (plain text, divided into documents at blank lines) and --dump (a small Wikipedia
dump), repeated up to --megabytes, so that they are as large as a measurement needs.

Both have to make the same tokens, except for the dump.

Python does what nanoGPT's `prepare.py` does: `load_dataset`, `map` in batches with --threads processes,
and a numpy memory map that is filled batch by batch (from Arrow's buffers, which is much faster than the
lists of `prepare.py` where documents are short). It is measured with the `tokenizers` library
and with `tiktoken`, whichever is asked for with --encoder. For a dump it reads pages with Python's own XML
parser and tokenizes wikitext as it stands, because a conversion to plain text would take it several times
as long.

A speed is that of the contents: bytes of decompressed text, JSON, XML or of texts in Parquet, per second
of the whole process.
"""

import argparse
import bz2
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path


def main():
    arguments = parse()
    if arguments.reference:
        return reference(arguments)
    work = Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    inputs = make_inputs(arguments, work)
    tokenizer = gpt2_tokenizer(arguments, work)
    print("input | MB | program | MB/s, median | all rounds")
    for kind in arguments.kinds:
        path, size = inputs[kind]
        programs = {"ldrop": ldrop_command(arguments, path, work)}
        for encoder in arguments.encoder:
            programs[encoder] = python_command(arguments, kind, path, work, tokenizer, encoder)
        speeds = {name: [] for name in programs}
        tokens = {}
        for _ in range(arguments.rounds):
            for name, command in programs.items():
                remove(work / "out")
                remove(work / "cache")
                begin = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                speeds[name].append(size / 1e6 / (time.perf_counter() - begin))
                tokens[name] = (work / "out" / "train.bin").read_bytes()
        if kind != "dump":
            check_equal(kind, tokens)
        for name, found in speeds.items():
            shown = ", ".join(f"{speed:.1f}" for speed in found)
            median = statistics.median(found)
            print(f"{kind} | {size / 1e6:.0f} | {name} | {median:.1f} | {shown}", flush=True)


def check_equal(kind, tokens):
    """All programs have to make the same tokens. Python puts end-of-text behind the last document too."""
    expected = tokens["ldrop"] + (50_256).to_bytes(2, "little")
    for name, found in tokens.items():
        if name != "ldrop" and found != expected:
            sys.exit(f"{kind}: {name} makes other tokens than ldrop")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ldrop", help="the program")
    parser.add_argument("--text", nargs="+", help="files of plain text")
    parser.add_argument("--dump", help="a Wikipedia dump, .xml.bz2")
    parser.add_argument("--work", required=True, help="a folder for inputs and results")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=["dump", "jsonl", "parquet", "text"])
    parser.add_argument("--encoder", nargs="*", default=["tokenizers", "tiktoken"])
    # How the script calls itself.
    parser.add_argument("--reference", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--tokenizer", help=argparse.SUPPRESS)
    return parser.parse_args()


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)


def make_inputs(arguments, work):
    """The path of each kind of input, and the bytes of its contents."""
    size = arguments.megabytes * 1_000_000
    inputs = {}
    if "dump" in arguments.kinds:
        path = work / f"dump-{arguments.megabytes}.xml.bz2"
        text = bz2.decompress(Path(arguments.dump).read_bytes())
        begin, end = text.index(b"<page>"), text.rindex(b"</page>") + len(b"</page>\n")
        pages = -(-size // (end - begin))
        if not path.exists():
            content = text[:begin] + text[begin:end] * pages + text[end:]
            path.write_bytes(bz2.compress(content))
        inputs["dump"] = path, begin + (end - begin) * pages + len(text) - end
    if not set(arguments.kinds) & {"jsonl", "parquet", "text"}:
        return inputs
    texts = [Path(path).read_text("utf-8") for path in arguments.text]
    documents = [part.strip() for text in texts for part in re.split(r"\n\s*\n", text)]
    documents = [document for document in documents if document]
    repeated, length = [], 0
    while length < size:
        document = documents[len(repeated) % len(documents)]
        repeated.append(document)
        length += len(document.encode())
    files = 8
    parts = [repeated[at * len(repeated) // files : (at + 1) * len(repeated) // files] for at in range(files)]
    for kind in set(arguments.kinds) - {"dump"}:
        folder = work / f"{kind}-{arguments.megabytes}"
        folder.mkdir(exist_ok=True)
        total = 0
        for number, part in enumerate(parts):
            path = folder / f"{number}.{'txt' if kind == 'text' else kind}"
            if kind == "text":
                content = "\n\n".join(part).encode()
            elif kind == "jsonl":
                content = "".join(json.dumps({"text": text}) + "\n" for text in part).encode()
            else:
                import pyarrow
                import pyarrow.parquet

                content = b"".join(text.encode() for text in part)
                if not path.exists():
                    pyarrow.parquet.write_table(pyarrow.table({"text": part}), path, row_group_size=10_000)
            if kind != "parquet" and not path.exists():
                path.write_bytes(content)
            total += len(content)
        inputs[kind] = folder, total
    return inputs


def gpt2_tokenizer(arguments, work):
    """GPT-2's tokenizer as a file, which ldrop writes beside every data folder."""
    text, out = work / "word.txt", work / "gpt2"
    text.write_text("word word")
    subprocess.run([arguments.ldrop, "data", "prepare", text, "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return out / "tokenizer.json"


def ldrop_command(arguments, path, work):
    command = [arguments.ldrop, "data", "prepare", path, "--out", work / "out"]
    return [*command, "--validation", "0", "--threads", str(arguments.threads), "--quiet"]


def python_command(arguments, kind, path, work, tokenizer, encoder):
    command = [sys.executable, __file__, "--reference", f"{kind}:{encoder}", "--path", path, "--work", work]
    return [*command, "--tokenizer", tokenizer, "--threads", str(arguments.threads)]


def encode_batch(path, encoder):
    """A function that encodes a list of texts."""
    if encoder == "tokenizers":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(path)
        return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    import tiktoken

    file = json.loads(Path(path).read_text())
    alphabet = byte_of_symbol()
    vocabulary = file["model"]["vocab"]
    ranks = {bytes(alphabet[symbol] for symbol in token): rank for token, rank in vocabulary.items() if rank < 50_256}
    encoding = tiktoken.Encoding(
        "gpt2",
        pat_str=r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 50_256},
    )
    return lambda texts: [encoding.encode_ordinary(text) for text in texts]


def byte_of_symbol():
    """The byte that each character of GPT-2's vocabulary stands for."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    symbols = {chr(byte): byte for byte in plain}
    return symbols | {chr(0x100 + at): byte for at, byte in enumerate(others)}


def pages(path):
    """The wikitext of a dump's articles."""
    from xml.etree.ElementTree import iterparse

    with bz2.open(path) as file:
        for _, element in iterparse(file):
            name = element.tag.rpartition("}")[2]
            if name == "page":
                found = {child.tag.rpartition("}")[2]: child for child in element.iter()}
                if found["ns"].text == "0" and "redirect" not in found:
                    yield {"text": found["text"].text or ""}
                element.clear()


def reference(arguments):
    """Does the work in Python."""
    kind, encoder = arguments.reference.split(":")
    work = Path(arguments.work)
    os.environ["HF_DATASETS_CACHE"] = str(work / "cache")
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Each process has one thread, so that there are as many as asked for.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import datasets
    import numpy

    datasets.disable_progress_bars()
    if kind == "dump":
        data = datasets.Dataset.from_generator(pages, gen_kwargs={"path": arguments.path})
    else:
        names = {"jsonl": "json", "parquet": "parquet", "text": "text"}
        # A file of plain text is one document for both programs.
        options = {"sample_by": "document"} if kind == "text" else {}
        files = sorted(str(path) for path in Path(arguments.path).iterdir())
        data = datasets.load_dataset(names[kind], data_files=files, split="train", num_proc=arguments.threads, **options)
    encode = None

    def tokenize(batch):
        nonlocal encode
        if encode is None:
            encode = encode_batch(arguments.tokenizer, encoder)
        ids = encode(batch["text"])
        for document in ids:
            document.append(50_256)
        return {"ids": ids, "length": [len(document) for document in ids]}

    features = datasets.Features({"ids": datasets.List(datasets.Value("uint16")), "length": datasets.Value("int64")})
    data = data.map(
        tokenize,
        batched=True,
        remove_columns=["text"],
        features=features,
        num_proc=arguments.threads,
    )
    (work / "out").mkdir(exist_ok=True)
    length = int(numpy.sum(data.with_format("numpy")[:]["length"], dtype=numpy.uint64))
    tokens = numpy.memmap(work / "out" / "train.bin", dtype=numpy.uint16, mode="w+", shape=(length,))
    batches, at = min(64, len(data)), 0
    for batch in range(batches):
        part = data.shard(num_shards=batches, index=batch, contiguous=True).with_format("arrow")
        # Faster by far than a numpy array for each document.
        ids = numpy.concatenate([chunk.flatten().to_numpy() for chunk in part[:]["ids"].chunks])
        tokens[at : at + len(ids)] = ids
        at += len(ids)
    tokens.flush()


if __name__ == "__main__":
    main()
