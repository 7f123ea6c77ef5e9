"""The names of the keys that other programs' configs may have, and TRL's and PEFT's defaults: what tests/migrate holds
the tables of lib/migrate against.

    python scripts/oracles/foreign_configs.py [--axolotl WHEEL] [--llamafactory WHEEL]

Needs trl and peft. axolotl and LLaMA-Factory are read from their wheels (pip download --no-deps), without being run: of
them the names of the fields alone are kept. What is not given stays as the golden has it.
Writes tests/migrate/golden/foreign_configs.json.
"""

import argparse
import ast
import dataclasses
import json
import pathlib
import zipfile

from peft import LoraConfig
from transformers import TrainingArguments
from trl import DPOConfig, GRPOConfig, KTOConfig, ModelConfig, RewardConfig, RLOOConfig, ScriptArguments, SFTConfig
from trl import DatasetMixtureConfig
from trl.experimental.cpo import CPOConfig
from trl.experimental.orpo import ORPOConfig
from trl.scripts.grpo import GRPOScriptArguments

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests/migrate/golden/foreign_configs.json"
TRAINERS = {"sft": SFTConfig, "dpo": DPOConfig, "grpo": GRPOConfig, "kto": KTOConfig, "reward": RewardConfig,
            "rloo": RLOOConfig, "cpo": CPOConfig, "orpo": ORPOConfig}
AXOLOTL = "AxolotlInputConfig"
LLAMAFACTORY = ("DataArguments", "FinetuningArguments", "GeneratingArguments", "ModelArguments",
                "TrainingArguments")


def defaults(cls):
    """Default by field; what is no JSON as its text."""
    out = {}
    for field in dataclasses.fields(cls):
        value = None
        if field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        value = getattr(value, "value", value)
        try:
            json.dumps(value)
        except TypeError:
            value = str(value)
        out[field.name] = value
    return out


def classes_of(wheel, folder):
    """{class: (bases, names of its annotated fields)} of all files under a folder of a wheel."""
    out = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.startswith(folder) or not name.endswith(".py"):
                continue
            for node in ast.parse(archive.read(name)).body:
                if isinstance(node, ast.ClassDef):
                    fields = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign)]
                    bases = [ast.unparse(base).split(".")[-1] for base in node.bases]
                    out[node.name] = (bases, fields)
    return out


def fields_of(classes, name):
    bases, fields = classes.get(name, ([], []))
    out = list(fields)
    for base in bases:
        out += [field for field in fields_of(classes, base) if field not in out]
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--axolotl")
    parser.add_argument("--llamafactory")
    args = parser.parse_args()
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    base = defaults(TrainingArguments)
    golden["transformers"] = base
    golden["trl"] = {}
    for name, cls in TRAINERS.items():
        own = {key: value for key, value in defaults(cls).items() if key not in base or value != base[key]}
        golden["trl"][name] = own
    golden["trl_script"] = {}
    for cls in (ModelConfig, ScriptArguments, GRPOScriptArguments, DatasetMixtureConfig):
        golden["trl_script"].update(defaults(cls))
    golden["peft"] = defaults(LoraConfig)
    if args.axolotl:
        classes = classes_of(args.axolotl, "axolotl/utils/schemas/")
        golden["axolotl"] = sorted(fields_of(classes, AXOLOTL))
        golden["axolotl_trl"] = sorted(fields_of(classes, "TRLConfig"))
        golden["axolotl_dataset"] = sorted(fields_of(classes, "SFTDataset"))
    if args.llamafactory:
        classes = classes_of(args.llamafactory, "llamafactory/hparams/")
        names = {field for name in LLAMAFACTORY for field in fields_of(classes, name)}
        golden["llamafactory"] = sorted(names)
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    GOLDEN.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
