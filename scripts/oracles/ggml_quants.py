#!/usr/bin/env python3
"""Blocks of weights as ggml's reference quantisers make them -> tests/tensor/golden/ggml_quants.safetensors.

    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36 && tar xzf llama_cpp_python-*.tar.gz
    cd llama_cpp_python-*/vendor/llama.cpp
    gcc -O2 -shared -fPIC -Iggml/include -Iggml/src ggml/src/ggml-quants.c -o libquants.so -Wl,--unresolved-symbols=ignore-all -lm
    scripts/oracles/ggml_quants.py libquants.so

The inputs have what quantisers stumble over: zeros, groups next to nothing, outliers, one sign alone, equal values.
"""
import ctypes, os, sys
import numpy as np
from safetensors.numpy import save_file

BYTES = {"Q8_0": (32, 34), "Q4_0": (32, 18), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210)}


def inputs():
    rng = np.random.default_rng(7)
    rows = [rng.normal(0, 0.02, 256), rng.normal(0, 1, 256), np.zeros(256), np.abs(rng.normal(0, 0.1, 256)), -np.abs(rng.normal(0, 3, 256))]
    outlier = rng.normal(0, 0.01, 256)
    outlier[[3, 200]] = [5.0, -7.0]
    outlier[64:96] = 0
    outlier[96:128] = 1e-18
    rows += [outlier, np.full(256, 0.125), rng.uniform(-1, 1, 256) * 10.0 ** rng.integers(-6, 2, 256)]
    return np.concatenate(rows).astype(np.float32)


def main():
    lib = ctypes.CDLL(sys.argv[1], mode=os.RTLD_LAZY)
    x = inputs()
    out = {"values": x}
    for name, (elements, size) in BYTES.items():
        y = np.zeros(x.size // elements * size, np.uint8)
        quantise = getattr(lib, f"quantize_row_{name[0].lower()}{name[1:]}_ref")
        quantise(x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(x.size))
        out[name] = y
    save_file(out, os.path.join(os.path.dirname(__file__), "../../tests/tensor/golden/ggml_quants.safetensors"))


main()
