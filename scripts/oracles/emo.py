"""Golden tests/objective/golden/emo.json: the loss of DRSY/EMO (emo1_adaptive) on hidden states and a head, with gradients.

  python scripts/oracles/emo.py tests/objective/golden
"""

import json
import os
import sys

import torch

torch.set_default_dtype(torch.float64)


def rounded(x):
    return float(f"{x:.12g}")


def main():
    cases = []
    generator = torch.Generator().manual_seed(3)
    for tokens, vocab, width in [(5, 9, 6), (3, 17, 4), (1, 5, 3)]:
        hidden = torch.randn(tokens, width, generator=generator, requires_grad=True)
        head = torch.randn(vocab, width, generator=generator, requires_grad=True)
        target = torch.randint(0, vocab, (tokens,), generator=generator)
        logits = hidden @ head.T
        mle_loss = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        one_hot = torch.nn.functional.one_hot(target, num_classes=vocab).double()
        embedding = head.detach()
        embedding = embedding / torch.linalg.vector_norm(embedding, ord=2, dim=1, keepdim=True)
        p_contextual = one_hot @ embedding
        q_grad = torch.log_softmax(logits, dim=-1).exp()
        q_contextual = (q_grad - (q_grad * one_hot).detach()) @ embedding
        emo_loss = 1 - torch.sum(p_contextual * q_contextual, dim=-1)
        loss = (((mle_loss / (emo_loss + 1e-10)).detach() * emo_loss + mle_loss) * 0.5).mean()
        loss.backward()
        case = {"hidden": hidden, "head": head, "grad_hidden": hidden.grad, "grad_head": head.grad}
        case = {k: [[rounded(x) for x in row] for row in v.tolist()] for k, v in case.items()}
        cases.append({**case, "target": target.tolist(), "loss": rounded(loss.item())})
    with open(os.path.join(sys.argv[1], "emo.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
