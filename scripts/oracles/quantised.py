"""Goldens of tests/tensor: bitsandbytes' codes, magnitudes and dequantised values of small matrices.

  CUDA_VISIBLE_DEVICES='' python scripts/oracles/quantised.py tests/tensor/golden

Needs bitsandbytes (0.50.2), of which the plain PyTorch backend is asked, not the compiled CPU one: that one looks up the
dynamic map by a rounded index, so that a value near a threshold can get the neighbour of the nearest code, and its AVX-512
nf4 reads wrong magnitudes when a row is no multiple of 64.
"""

import ctypes
import os
import sys

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)
os.environ["TORCHDYNAMO_DISABLE"] = "1"

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402


def not_loaded(*_):
    raise OSError("the compiled backend is left out")


real, ctypes.cdll.LoadLibrary = ctypes.cdll.LoadLibrary, not_loaded
import bitsandbytes.functional as bnb  # noqa: E402

ctypes.cdll.LoadLibrary = real
assert type(bnb.lib).__name__ == "ErrorHandlerMockBNBNativeLibrary", "the compiled backend is in use"


def matrices():
    torch.manual_seed(0)
    yield "rows_of_64", torch.randn(6, 128)
    yield "blocks_cross_rows", torch.randn(6, 96)
    yield "odd_rows", torch.randn(7, 33)  # blocks and bytes cross rows, and the last block is not full
    yield "even_rest", torch.randn(5, 70)
    zeros = torch.randn(3, 64)
    zeros[1] = 0
    yield "a_row_of_zeros", zeros
    # More than 256 blocks, so that their magnitudes fill more than a block; outliers.
    large = torch.randn(130, 130)
    large[::17, ::13] *= 20
    yield "large", large.to(torch.bfloat16)


def main(folder):
    out = {"dynamic_map": bnb.create_dynamic_map()}
    for name, w in matrices():
        out[f"{name}.w"] = w
        dtype = w.dtype  # of what comes back too
        for double in (False, True):
            kind = "nf4_double" if double else "nf4"
            codes, state = bnb.quantize_4bit(w, blocksize=64, quant_type="nf4", compress_statistics=double)
            out[f"{name}.{kind}.codes"] = codes.flatten()
            out[f"{name}.{kind}.absmax"] = state.absmax
            if double:
                out[f"{name}.{kind}.absmax_scale"] = state.state2.absmax
                out[f"{name}.{kind}.absmax_mean"] = state.offset.reshape(1)
            out[f"{name}.{kind}.values"] = bnb.dequantize_4bit(codes, state).to(dtype)
        codes, absmax, _ = bnb.int8_vectorwise_quant(w)
        # bitsandbytes divides by the zero of a row of zeros; whatever it gets, the values are zeros.
        codes[absmax == 0] = 0
        out[f"{name}.int8.codes"] = codes
        out[f"{name}.int8.absmax"] = absmax
        out[f"{name}.int8.values"] = bnb.int8_vectorwise_dequant(codes, absmax).to(dtype)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "quantised.safetensors"))


main(sys.argv[1])
