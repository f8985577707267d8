#!/usr/bin/env python3
"""Writes the seeds of fuzz_safetensors, fuzz_ckpt, fuzz_config, fuzz_tplab and fuzz_tokens, and some of fuzz_tokenizer: small good files and hostile ones."""
import io
import json
import pathlib
import pickle
import struct
import zipfile

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_seeds():
    def seed(name, header, data=b""):
        write("safetensors", name, safetensors(header, data))

    seed("good", {"__metadata__": {"a": "b"}, "x": entry("I64", [1], 0, 8),
                  "y": entry("F32", [2, 1], 8, 16), "z": entry("F16", [3], 16, 22)}, bytes(range(22)))
    seed("none", {})
    seed("scalar_and_empty", {"s": entry("F64", [], 0, 8), "e": entry("BF16", [0, 7], 8, 8)}, bytes(8))
    seed("overlap", {"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12))
    seed("gap", {"a": entry("F32", [1], 4, 8)}, bytes(8))
    seed("unaligned", {"a": entry("U8", [1], 0, 1), "b": entry("F32", [1], 1, 5)}, bytes(5))
    seed("past_end", {"a": entry("F32", [2], 0, 8)}, bytes(4))
    seed("shape_overflows", {"a": entry("F32", [1 << 62, 4], 0, 0)})
    seed("head_only", {"__metadata__": {"transformer.wte.weight": "lm_head.weight"},
                       "lm_head.weight": entry("F32", [1, 1], 0, 4),
                       "module._orig_mod.h.0.ln_1.weight": entry("F16", [1], 4, 6)}, bytes(6))
    seed("metadata_any", {"__metadata__": {"": "\x00\x1b[31m\u202e", "a": "x" * 300}})
    seed("unknown_dtype", {"a": entry("F31", [1], 0, 4)}, bytes(4))
    seed("twice", b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
                  b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}')
    seed("deep", b'{"a":' + b"[" * 3000)
    seed("number_out_of_range", b'{"a":1e999}')
    write("safetensors", "length_past_end", struct.pack("<Q", 1 << 63) + b"{}")
    write("safetensors", "empty", b"")


def zipped(entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, method)
    return file.getvalue()


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def sizes(values):
    return b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"


def tensor(shape, offset, length, stride=None):
    strides = stride or ([shape[1], 1] if len(shape) == 2 else [1])
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    storage += b"M" + struct.pack("<H", length) + b"tQ"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"M" + struct.pack("<H", offset) +
            sizes(shape) + sizes(strides) + b"\x89ccollections\nOrderedDict\n)RtR")


def checkpoint_pickle(prefix="", **change):
    """One layer, one head, 2 wide, 2 tokens: every parameter a part of one storage."""
    shapes = {"wte.weight": [2, 2], "wpe.weight": [2, 2], "h.0.ln_1.weight": [2],
              "h.0.attn.c_attn.weight": [6, 2], "h.0.attn.c_proj.weight": [2, 2],
              "h.0.ln_2.weight": [2], "h.0.mlp.c_fc.weight": [8, 2],
              "h.0.mlp.c_proj.weight": [2, 8], "ln_f.weight": [2]}
    arguments = {"n_layer": 1, "n_head": 1, "n_embd": 2, "block_size": 2, "vocab_size": 2, **change}
    result = b"\x80\x02}(" + text("model") + b"}("
    for name, shape in shapes.items():
        result += text(prefix + "transformer." + name) + tensor(shape, 0, 16)
    result += b"u" + text("model_args") + b"}(" + text("bias") + b"\x89"
    for name, value in arguments.items():
        result += text(name) + b"J" + struct.pack("<i", value)
    return result + b"u" + text("iter_num") + b"K\x07u."


def ckpt_seeds():
    floats = struct.pack("<16f", *range(16))

    def seed(name, content):
        write("ckpt", name, content)

    def zip_seed(name, data_pkl, **more):
        seed(name, zipped({"c/data.pkl": data_pkl, "c/data/0": floats, **more}))

    zip_seed("good.zip", checkpoint_pickle("_orig_mod."))
    zip_seed("n_layer_huge.zip", checkpoint_pickle(n_layer=2**31 - 1))
    zip_seed("n_head_3.zip", checkpoint_pickle(n_head=3))
    zip_seed("big_endian.zip", checkpoint_pickle(), **{"c/byteorder": b"big"})
    seed("compressed.zip", zipped({"c/data.pkl": checkpoint_pickle(), "c/data/0": floats},
                                  zipfile.ZIP_DEFLATED))
    seed("short_storage.zip", zipped({"c/data.pkl": checkpoint_pickle(), "c/data/0": floats[:8]}))
    seed("bomb.zip", zipped({"c/data.pkl": bytes(1 << 25)}, zipfile.ZIP_DEFLATED))
    seed("truncated.zip", zipped({"c/data.pkl": checkpoint_pickle(), "c/data/0": floats})[:-60])
    seed("no_pickle.zip", zipped({"c/other": b"x"}))

    seed("good.pkl", checkpoint_pickle())
    seed("system.pkl", b"cos\nsystem\n" + b"(" + text("true") + b"tR.")
    seed("stack_global.pkl", b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.")
    seed("itself.pkl", b"]q\x00h\x00a.")
    seed("laughs.pkl", text("lol") + (b"q\x000(" + b"h\x00" * 10 + b"t") * 20 + b".")
    seed("deep.pkl", b"]" + b"\x85" * 3000 + b".")
    seed("memo_huge.pkl", b"]r\xff\xff\xff\xff.")
    seed("long_length.pkl", b"\x8d" + b"\xff" * 8 + b".")
    made = b"c__main__\nGPTConfig\n)\x81}(" + text("n_layer") + b"K\x01ub"
    others = [made, b"cnumpy\ndtype\n(" + text("f8") + b"\x89\x88tR", b"\x8f(K\x01\x90", b"C\x02xy",
              b"\x8a\x09" + bytes(9), b"\x8b\x09\0\0\0" + bytes(9), b"ctorch\nbfloat16\n",
              b"cfunctools\npartial\n(cos\nsystem\ntR", b"c__main__\nKw\n)}\x92",
              b"c__main__\nMyDict\n)\x81(" + text("a") + b"K\x01u", b"c__main__\nL\n)\x81(K\x01e"]
    for i, other in enumerate(others):
        seed(f"object_{i}.pkl", checkpoint_pickle("module.")[:-2] + text("other") + other + b"u.")
    sizes_of = checkpoint_pickle().replace(text("model_args") + b"}(" + text("bias") + b"\x89",
                                           text("config") + b"c__main__\nGPTConfig\n)\x81}(")
    seed("build_nanogpt.pkl", sizes_of.replace(text("iter_num"), b"b" + text("iter_num"), 1))
    zip_seed("head_only.zip", checkpoint_pickle("module._orig_mod.").replace(
        text("module._orig_mod.transformer.wte.weight"), text("module.lm_head.weight")))
    zip_seed("expanded.zip", checkpoint_pickle().replace(b"K\x02K\x01t", b"K\x00K\x00t"))
    zip_seed("stepped.zip", checkpoint_pickle().replace(b"K\x02K\x01t", b"K\x01K\x02t"))
    seed("not_contiguous.pkl", checkpoint_pickle().replace(b"K\x02K\x01t", b"K\x01K\x02t", 1))
    meta = {"vocab_size": 2, "itos": {0: "a", 1: "\u00e9"}, "stoi": {"a": 0, "\u00e9": 1}}
    seed("meta.pkl", pickle.dumps(meta, 4))
    seed("meta_protocol_2.pkl", pickle.dumps(meta, 2))
    seed("meta_disagrees.pkl", pickle.dumps({**meta, "stoi": {"a": 1, "\u00e9": 0}}, 4))
    seed("legacy.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")


def config_seeds():
    config = {"model_type": "gpt2", "activation_function": "gelu_new", "n_layer": 2, "n_head": 2,
              "n_embd": 8, "n_inner": None, "n_positions": 16, "vocab_size": 32,
              "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True}

    def seed(name, **change):
        write("config", name, json.dumps({**config, **change}))

    seed("good.json")
    seed("llama.json", model_type="llama")
    seed("huge.json", n_layer=2**63, n_embd=2**63 - 1)
    seed("zero.json", n_head=0)
    seed("negative.json", n_embd=-8)
    seed("relu.json", activation_function="relu")
    seed("inner.json", n_inner=2**40)
    seed("scaled.json", scale_attn_by_inverse_layer_idx=True)
    seed("reorder.json", reorder_and_upcast_attn=True)
    seed("no_type.json", model_type=None, architectures=["GPT2DoubleHeadsModel"])
    seed("pruned.json", pruned_heads={"0": [1]})
    seed("epsilon.json", layer_norm_epsilon="small")
    write("config", "deep.json", '{"a":' * 3000)
    write("config", "twice.json", '{"n_layer": 1, "n_layer": 2}')
    write("config", "truncated.json", json.dumps(config)[:-5])
    write("config", "not_utf8.json", b'{"a\xff": 1}')
    write("config", "index.json", json.dumps({"weight_map": {"wte.weight": "a.safetensors"}}))
    write("config", "index_escapes.json", json.dumps({"weight_map": {"w": "../../etc/passwd"}}))


def tplab_seeds():
    """tplab's own checkpoints: one layer, one head, 2 wide, 3 tokens."""
    shapes = {"transformer.wte.weight": [3, 2], "transformer.wpe.weight": [2, 2]}
    for name, shape in {"ln_1.weight": [2], "attn.c_attn.weight": [6, 2],
                        "attn.c_proj.weight": [2, 2], "ln_2.weight": [2],
                        "mlp.c_fc.weight": [8, 2], "mlp.c_proj.weight": [2, 8]}.items():
        shapes["transformer.h.0." + name] = shape
    shapes["transformer.ln_f.weight"] = [2]
    config = {"n_layer": 1, "n_head": 1, "n_embd": 2, "block_size": 2, "vocab_size": 3,
              "n_inner": 8, "bias": False, "tied_head": True, "gelu": "erf",
              "layer_norm_eps": 1e-5}
    characters = json.dumps({"kind": "characters", "characters": ["\n", "a", "\u00e9"]})

    def seed(name, drop=None, **change):
        metadata = {"format": "tplab", "version": "1", "config": json.dumps(config), "step": "7",
                    "best_val_loss": "1.5", "train": "{}", "tokenizer": characters, **change}
        header, end = {"__metadata__": metadata}, 0
        for prefix in ("model.", "adamw.m.", "adamw.v."):
            for tensor, shape in shapes.items():
                size = 4 * shape[0] * (shape[1] if len(shape) == 2 else 1)
                if prefix + tensor != drop:
                    header[prefix + tensor] = entry("F32", shape, end, end + size)
                    end += size
        write("tplab", name, safetensors(header, bytes(i % 64 for i in range(end))))

    seed("good")
    seed("no_tokenizer", tokenizer="null", best_val_loss="inf")
    seed("lost_tensor", drop="adamw.v.transformer.ln_f.weight")
    seed("huge", config=json.dumps({**config, "n_layer": 2**63, "vocab_size": 2**31}))
    seed("more_layers", config=json.dumps({**config, "n_layer": 10}))
    seed("other_format", format="pt")
    seed("newer", version="2")
    seed("step", step="-1")
    seed("loss", best_val_loss="nan")
    seed("deep_train", train="[" * 3000)
    seed("gpt2_absent", tokenizer=json.dumps({"kind": "gpt2", "path": "absent"}))
    seed("characters_twice", tokenizer=json.dumps({"kind": "characters", "characters": ["a", "a"]}))
    seed("characters_many", tokenizer=json.dumps({"kind": "characters",
                                                  "characters": ["a", "b", "c", "d"]}))


def tokenizer_seeds():
    """tokenizer.json and what lies beside a vocab.json; the others of fuzz_tokenizer are written by hand."""
    letters = {letter: id for id, letter in enumerate("abcdefghijklmnopqrstuvwxyz\u0120")}
    whole = {"added_tokens": [{"id": 29, "content": "<|endoftext|>", "special": True, "lstrip": True},
                              {"id": 30, "content": "<U>", "single_word": True, "rstrip": True}],
             "normalizer": None,
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
             "model": {"type": "BPE", "vocab": {**letters, "th": 27, "the": 28},
                       "merges": [["t", "h"], "th e"], "ignore_merges": False}}

    def seed(name, kind, *parts):
        write("tokenizer", name, kind + b"\xff".join(part.encode() for part in parts))

    def json_seed(name, text="the tea<|endoftext|> <U> the", **change):
        seed(name, b"j", json.dumps({**whole, **change}), text)

    llama = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    split = {"type": "Split", "pattern": {"Regex": llama}, "behavior": "Isolated", "invert": False}
    plain = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    json_seed("json_good")
    json_seed("json_llama", pre_tokenizer={"type": "Sequence", "pretokenizers": [split, plain]},
              model={**whole["model"], "ignore_merges": True})
    json_seed("json_digits", pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, plain]})
    json_seed("json_metaspace", pre_tokenizer={"type": "Metaspace"})
    json_seed("json_unigram", model={"type": "Unigram"})
    json_seed("json_huge_id", added_tokens=[{"id": 2**40, "content": "<U>"}])
    json_seed("json_taken_id", added_tokens=[{"id": 3, "content": "<U>"}])
    json_seed("json_nested", normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]})
    config = {"added_tokens_decoder": {"260": {"content": "<X>", "lstrip": True}}, "eos_token": "<X>",
              "bos_token": {"content": "the"}, "pad_token": "none", "add_prefix_space": True,
              "additional_special_tokens": ["a"]}
    seed("added_good", b"a", '{"<U>": 261}', json.dumps(config), "the<U> <X>")
    seed("added_twice", b"a", '{"<X>": 261}', json.dumps(config), "the")
    seed("added_taken", b"a", '{"<U>": 3}', "{}", "the")


def tokens_seeds():
    ids = [1 + i * 37 % 100 for i in range(50)]
    for name, form in {"uint8": "B", "uint16": "<H", "uint32": "<I", "int64": "<q", "big16": ">H",
                       "big32": ">I", "float32": "<f"}.items():
        write("tokens", name, b"\x08" + b"".join(struct.pack(form, i) for i in ids))
    write("tokens", "npy", b"\x08\x93NUMPY\x01\x00v\x00" + b" " * 118 + bytes(40))
    write("tokens", "odd", b"\x08" + bytes(41))
    write("tokens", "utf16", b"\x08" + "To be, or not to be".encode("utf-16"))
    write("tokens", "latin1", b"\x08" + "na\u00efve, caf\u00e9".encode("latin-1"))
    write("tokens", "mark", b"\x08" + "\ufeffTo be, or not to be\r\n".encode())


if __name__ == "__main__":
    tokenizer_seeds()
    tokens_seeds()
    tplab_seeds()
    safetensors_seeds()
    ckpt_seeds()
    config_seeds()
