"""Tiny GGUF files and what the gguf package reads from them, for tests/tensor/gguf_test.cc.

Writes tests/tensor/golden/types.gguf (one tensor of every weight type that Temper reads, and metadata of every value type)
and types.safetensors (the same tensors dequantised by the package).
"""
import os

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/tensor/golden")
Q = gguf.GGMLQuantizationType


def main():
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(f"{OUT}/types.gguf", "llama")
    writer.add_uint8("v.u8", 200)
    writer.add_int8("v.i8", -100)
    writer.add_uint16("v.u16", 60000)
    writer.add_int16("v.i16", -30000)
    writer.add_uint32("v.u32", 4000000000)
    writer.add_int32("v.i32", -2000000000)
    writer.add_float32("v.f32", 1e-5)
    writer.add_bool("v.bool", True)
    writer.add_string("v.string", "naïve ▁")
    writer.add_uint64("v.u64", 1 << 40)
    writer.add_int64("v.i64", -(1 << 40))
    writer.add_float64("v.f64", 0.1)
    writer.add_array("v.strings", ["a", "", "▁b"])
    writer.add_array("v.i32s", [3, -4, 5])
    writer.add_array("v.f32s", [0.5, -1.5])
    golden = {}
    for kind in (Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        rows, columns = 3, 512 if kind.name.endswith("K") else 64
        try:
            data = gguf.quantize(rng.standard_normal((rows, columns)).astype(np.float32), kind)
        except NotImplementedError:  # no quantiser in Python: any bytes will do, with sane scales
            block, size = gguf.GGML_QUANT_SIZES[kind]
            blocks = rng.integers(0, 256, (rows * columns // block, size), dtype=np.uint8)
            scales = rng.uniform(0.001, 0.1, (len(blocks), 2)).astype(np.float16).view(np.uint8)
            if kind == Q.Q6_K:
                blocks[:, 208:210] = scales[:, :2]
            else:
                blocks[:, :4] = scales
            data = blocks.reshape(rows, -1)
        if data.dtype != np.uint8:
            writer.add_tensor(f"t.{kind.name}", data)
        else:
            writer.add_tensor(f"t.{kind.name}", data, raw_dtype=kind)
        golden[f"t.{kind.name}"] = torch.from_numpy(np.ascontiguousarray(gguf.dequantize(data, kind)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(golden, f"{OUT}/types.safetensors")
    print({k: tuple(v.shape) for k, v in golden.items()}, os.path.getsize(f"{OUT}/types.gguf"))


if __name__ == "__main__":
    main()
