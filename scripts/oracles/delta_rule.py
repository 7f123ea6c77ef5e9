"""Golden of tests/tensor: the gated delta rule and the causal convolution of transformers' qwen3_5 on a prompt with two
answers and a sequence of its own, with gradients by autograd.

  python scripts/oracles/delta_rule.py tests/tensor/golden

Needs transformers (5.23.0), torch and safetensors. transformers knows no shared prompts: it computes every path from a root
to a leaf as a sequence, and a prompt's outputs count once. The recurrence gives the values; the chunked form must agree.
"""

import os
import sys

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers.models.qwen3_5 import modeling_qwen3_5 as qwen  # noqa: E402

# Lengths and parents of segments, then the paths that make them up.
LENGTHS, PARENTS = [70, 3, 66, 5], [-1, 0, 0, -1]
PATHS = [[0, 1], [0, 2], [3]]
KEY_HEADS, VALUE_HEADS, KEY_SIZE, VALUE_SIZE, CHANNELS, KERNEL = 1, 2, 8, 6, 5, 4


def rows_of(path):
    begins = [sum(LENGTHS[:s]) for s in path]
    return torch.cat([torch.arange(b, b + LENGTHS[s]) for b, s in zip(begins, path)])


def over_paths(f, like):
    """f(rows) -> (outputs of these rows, state behind them); each row's output from the first path that has it."""
    out, states, done = torch.zeros_like(like), [], set()
    for path in PATHS:
        rows = rows_of(path)
        y, state = f(rows)
        fresh = [i for i, r in enumerate(rows.tolist()) if r not in done]
        done |= set(rows.tolist())
        out = out.index_put((rows[fresh],), y[fresh])
        states.append(state)
    return out, states


def rule(form, x):
    def path(rows):
        q, k, v, g, beta = (t[rows].unsqueeze(0) for t in x)
        # They scale q themselves.
        out, state = form(q * KEY_SIZE**0.5, k, v, g=g, beta=beta, initial_state=None, output_final_state=True)
        return out[0], state[0]

    return over_paths(path, x[2])


def main(folder):
    torch.manual_seed(0)
    n = sum(LENGTHS)
    unit = torch.nn.functional.normalize
    x = [
        unit(torch.randn(n, KEY_HEADS, KEY_SIZE), dim=-1) / KEY_SIZE**0.5,
        unit(torch.randn(n, KEY_HEADS, KEY_SIZE), dim=-1),
        torch.randn(n, VALUE_HEADS, VALUE_SIZE),
        -0.1 * torch.nn.functional.softplus(torch.randn(n, VALUE_HEADS)),
        torch.sigmoid(torch.randn(n, VALUE_HEADS)),
    ]
    names = ["q", "k", "v", "log_decay", "beta"]
    golden = {f"rule.{name}": t.clone() for name, t in zip(names, x)}
    golden["rule.weights"] = torch.randn(n, VALUE_HEADS, VALUE_SIZE)

    results = []
    for form in (qwen.torch_recurrent_gated_delta_rule, qwen.torch_chunk_gated_delta_rule):
        leaves = [t.clone().requires_grad_() for t in x]
        out, states = rule(form, leaves)
        (out * golden["rule.weights"]).sum().backward()
        results.append([out.detach(), torch.stack(states).detach()] + [t.grad for t in leaves])
    for plain, chunked in zip(*results):
        torch.testing.assert_close(plain, chunked, rtol=2e-4, atol=2e-5)
    golden["rule.out"], golden["rule.states"] = results[0][:2]
    golden |= {f"rule.d_{name}": t for name, t in zip(names, results[0][2:])}

    inputs = torch.randn(n, CHANNELS).requires_grad_()
    weight = torch.randn(CHANNELS, KERNEL).requires_grad_()

    def convolve(rows):
        y = qwen.causal_conv1d_fn(inputs[rows].t().unsqueeze(0), weight)[0].t()
        return y, inputs[rows].t()[:, 1 - KERNEL :]

    out, states = over_paths(convolve, inputs)
    golden["conv.weights"] = torch.randn(n, CHANNELS)
    (out * golden["conv.weights"]).sum().backward()
    golden |= {"conv.x": inputs.detach(), "conv.weight": weight.detach(), "conv.out": out.detach(),
               "conv.states": torch.stack(states).detach(), "conv.d_x": inputs.grad, "conv.d_weight": weight.grad}
    golden["segments"] = torch.tensor([LENGTHS, PARENTS])
    save_file({name: t.contiguous() for name, t in golden.items()}, os.path.join(folder, "delta_rule.safetensors"))


if __name__ == "__main__":
    main(sys.argv[1])
