"""Golden tests/merge/golden/statistics.json: Gram matrices, diagonal Fisher and K-FAC factors by hooks on transformers, fp64.

  python scripts/oracles/merge_statistics.py tests/model/golden/llama3 tests/merge/golden       needs torch and transformers
"""

import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM

EXAMPLES = [  # ids, and which of them are targets
    ([3, 17, 44, 9, 101, 60], [0, 0, 0, 1, 1, 1]),
    ([8, 8, 71, 30], [1, 1, 1, 1]),  # nothing predicts the first
    ([5, 90, 14, 2, 33, 61, 7, 20, 19], [0, 0, 1, 0, 1, 0, 0, 0, 1]),
]
LINEARS = ["model.layers.0.self_attn.k_proj", "model.layers.0.mlp.down_proj", "model.layers.1.self_attn.v_proj"]
PARAMETERS = ["model.layers.0.self_attn.v_proj.weight", "model.layers.1.input_layernorm.weight", "model.norm.weight"]


def main():
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float64, attn_implementation="eager")
    read, given = {}, {}
    for name in LINEARS:
        module = model.get_submodule(name)
        module.register_forward_hook(lambda m, i, o, name=name: read.__setitem__(name, i[0].detach()[0]))
        module.register_full_backward_hook(lambda m, i, o, name=name: given.__setitem__(name, o[0].detach()[0]))
    sums, tokens = {}, 0
    for ids, targets in EXAMPLES:
        model.zero_grad()
        logp = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
        likelihood = sum(logp[t - 1, ids[t]] for t in range(1, len(ids)) if targets[t])
        likelihood.backward()
        tokens += len(ids)
        parts = {f"{n}.gram": read[n].T @ read[n] for n in LINEARS}
        parts |= {f"{n}.gradient_gram": given[n].T @ given[n] for n in LINEARS}
        parts |= {f"{n}.fisher": model.get_parameter(n).grad.square() for n in PARAMETERS}
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value
    out = {}
    for name, value in sums.items():
        mean = value / (len(EXAMPLES) if name.endswith("fisher") else tokens)
        # The first rows are enough: each element is a sum of its own.
        mean = mean[:4]
        out[name] = {"shape": list(mean.shape), "values": [float(f"{x:.9g}") for x in mean.flatten().tolist()]}
    examples = [{"ids": ids, "target": [bool(t) for t in targets]} for ids, targets in EXAMPLES]
    with open(os.path.join(sys.argv[2], "statistics.json"), "w") as f:
        f.write('{"examples": ' + json.dumps(examples) + ',\n"statistics": {\n' +
                ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()) + "}}\n")


if __name__ == "__main__":
    main()
