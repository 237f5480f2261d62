"""The transformer with Learned Dropout in PyTorch: what `ldrop` is compared with.

It has two uses. `bench` times training steps, for `cargo bench --bench compare-pytorch`.
`fixtures` writes checkpoints and what PyTorch computes with them, for the tests of the crate
`learned-dropout`; `compare` tells how far two such folders lie apart.

    python -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python reference.py bench --preset seed-ld --batch 10 --dtype f32
    venv/bin/python reference.py fixtures --out FOLDER
    venv/bin/python reference.py compare FOLDER crates/model/tests/fixtures

The names of the parameters are those of the original program's checkpoints, which
docs/pytorch-checkpoints.md lists. The order in which modules are made and parameters are drawn
is part of the fixtures: another order gives other weights for the same seed.
"""

import argparse
import dataclasses
import enum
import json
import math
import pathlib
import statistics
import sys
import time
import types

import torch
from torch import nn
from torch.nn import functional


@dataclasses.dataclass(frozen=True)
class Masks:
    """Settings of learned masks on the output of each feed-forward."""

    source: str = "hidden"  # or "embed": one input for all masks, made from the embedding
    detached: bool = False  # whether the gradient stops at the masks' input
    shift: float = 0.0  # initial value of the shift B
    penalty: float = 0.1  # coefficient of the mean of M²/2


@dataclasses.dataclass(frozen=True)
class Model:
    """Sizes of a decoder; without masks it is the baseline."""

    vocabulary: int
    context: int
    width: int
    heads: int
    layers: int
    masks: Masks | None = None


FROM_EMBEDDING = Masks(source="embed", detached=True)

# Models to time.
PRESETS = {
    "seed-ld": Model(50257, 200, 144, 9, 26, Masks()),
    "seed-embed": Model(50257, 200, 144, 9, 26, FROM_EMBEDDING),
    "seed-base": Model(50257, 200, 156, 12, 26),
    "gpt2-base": Model(50257, 256, 768, 12, 12),
    "gpt2-ld": Model(50257, 256, 768, 12, 12, Masks()),
}

# Models of the plain fixtures, all drawn from the seed 0.
FIXTURES = {
    "tiny-hidden": Model(97, 24, 32, 4, 2, Masks()),
    "tiny-embed": Model(97, 24, 32, 4, 2, FROM_EMBEDDING),
    "tiny-base": Model(97, 24, 32, 4, 2),
}


def attend(projected, heads):
    """Causal multi-head attention: queries, keys and values side by side, [batch, time, 3 width]."""
    batch, length, width = projected.shape
    width //= 3
    by_head = projected.view(batch, length, 3, heads, width // heads)
    queries, keys, values = by_head.permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    return mixed.transpose(1, 2).reshape(batch, length, width)


class Norm(nn.Module):
    """LayerNorm with a weight and no bias."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return functional.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class Attention(nn.Module):
    """Causal attention and an output layer, whose name differs from place to place."""

    def __init__(self, model, output):
        super().__init__()
        self.heads = model.heads
        self.output = output
        self.batch_attn_weights = nn.Linear(model.width, 3 * model.width, bias=False)
        self.add_module(output, nn.Linear(model.width, model.width, bias=False))

    def forward(self, x):
        return self.get_submodule(self.output)(attend(self.batch_attn_weights(x), self.heads))


class LearnedDropout(nn.Module):
    """x · round(M) with M = 0.5 + 0.5 cos(attention(source) + B); gradients pass the rounding."""

    def __init__(self, model):
        super().__init__()
        self.heads = model.heads
        self.detached = model.masks.detached
        self.batch_attn_weights = nn.Linear(model.width, 3 * model.width, bias=False)
        self.shift = nn.Parameter(torch.full((model.width,), model.masks.shift))
        self.fixed_noise = None  # stands for all noise of the rounding where it is given
        self.penalty = self.kept = None  # of the last forward pass

    def forward(self, x, source):
        source = source.detach() if self.detached else source
        angle = attend(self.batch_attn_weights(source), self.heads).float() + self.shift
        mask = 0.5 * torch.cos(angle) + 0.5
        value = mask.detach()
        if not self.training:
            ones = value >= 0.5
        elif self.fixed_noise is None:
            ones = torch.rand_like(value) <= value
        else:
            ones = value >= self.fixed_noise
        self.penalty = (mask.square() / 2).mean()
        self.kept = ones.float().mean()
        # The sum is 0 or 1; only `mask` has a gradient.
        return x * (mask + torch.where(ones, 1 - value, -value))


class FeedForward(nn.Module):
    """down(gelu(up(x))), and the mask on it where there is one."""

    def __init__(self, model):
        super().__init__()
        self.linear = nn.Linear(model.width, 4 * model.width, bias=False)
        self.residual_proj = nn.Linear(4 * model.width, model.width, bias=False)
        self.dropout = None if model.masks is None else LearnedDropout(model)

    def forward(self, x, mask_embedding):
        y = self.residual_proj(functional.gelu(self.linear(x)))
        if self.dropout is None:
            return y
        return self.dropout(y, y if mask_embedding is None else mask_embedding)


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, model):
        super().__init__()
        self.multi_attn_head = Attention(model, "residual_proj")
        self.feed_forward = FeedForward(model)
        self.ln1 = Norm(model.width)
        self.ln2 = Norm(model.width)

    def forward(self, x, mask_embedding):
        x = x + self.multi_attn_head(self.ln1(x))
        return x + self.feed_forward(self.ln2(x), mask_embedding)


class Transformer(nn.Module):
    """A decoder with learned positions, whose output layer is its token embedding."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.token_embedding = nn.Embedding(model.vocabulary, model.width)
        self.positional_embedding = nn.Embedding(model.context, model.width)
        self.dropout_embed_attn = None
        if model.masks is not None and model.masks.source == "embed":
            self.dropout_embed_attn = Attention(model, "linear")
        self.transformer_blocks = nn.ModuleList(Block(model) for _ in range(model.layers))
        self.ln = Norm(model.width)
        self.output_layer = nn.Linear(model.width, model.vocabulary, bias=False)
        self.token_embedding.weight = self.output_layer.weight
        residual = 0.02 / math.sqrt(2 * model.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                deviation = residual if name.endswith("residual_proj.weight") else 0.02
                nn.init.normal_(parameter, std=deviation)

    def learned(self):
        """The modules that mask, in the order of the layers."""
        return [module for module in self.modules() if isinstance(module, LearnedDropout)]

    def mean_over_masks(self, statistic):
        """The mean of `penalty` or `kept` over the masks."""
        return torch.stack([getattr(mask, statistic) for mask in self.learned()]).mean()

    def forward(self, ids, targets):
        """Logits, and the loss with the penalty that belongs to it in training."""
        x = self.token_embedding(ids) + self.positional_embedding.weight[: ids.shape[1]]
        mask_embedding = None if self.dropout_embed_attn is None else self.dropout_embed_attn(x)
        for block in self.transformer_blocks:
            x = block(x, mask_embedding)
        logits = self.output_layer(self.ln(x))
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        if self.training and self.model.masks is not None:
            loss = loss + self.model.masks.penalty * self.mean_over_masks("penalty")
        return logits, loss


def drawn(model, seed):
    """A model whose weights are larger than initial ones, so that masks and logits vary."""
    torch.manual_seed(seed)
    network = Transformer(model)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def random_tokens(model, rows):
    return torch.randint(0, model.vocabulary, (rows, model.context))


def evaluated(network):
    """Two rows of tokens, and what an evaluation pass gives for them."""
    ids, targets = random_tokens(network.model, 2), random_tokens(network.model, 2)
    network.eval()
    with torch.no_grad():
        logits, loss = network(ids, targets)
    result = {"loss": loss.item(), "logits_last": logits[:, -1].tolist()}
    if network.learned():
        result["penalty"] = network.mean_over_masks("penalty").item()
        result["kept"] = network.mean_over_masks("kept").item()
    return ids, targets, result


def trained(network, ids, targets):
    """Loss and norms of the gradients of a training pass whose rounding noise is 0.5."""
    for mask in network.learned():
        mask.fixed_noise = 0.5
    network.train()
    _, loss = network(ids, targets)
    loss.backward()
    norms = {
        name: 0.0 if parameter.grad is None else parameter.grad.norm().item()
        for name, parameter in network.named_parameters()
    }
    return {"loss": loss.item(), "grad_norm": norms}


def original_config(model):
    """The configuration under the original program's names, with choices as plain strings."""
    config = {
        "context_size": model.context,
        "n_embed": model.width,
        "n_layer": model.layers,
        "n_head": model.heads,
        "dropout_rate": 0.0,
        "alphabet_size": model.vocabulary,
        "use_bias": False,
        "use_flash": True,
    }
    if model.masks is not None:
        config["learned_dropout_config"] = {
            "use_bias": False,
            "n_head": model.heads,
            "mask_rounding_type": "NOISE_AND_LINEAR",
            "sigmoid_scale": None,
            "shift_init": model.masks.shift,
            "use_detached_input": model.masks.detached,
            "dropout_input_type": "EMBED" if model.masks.source == "embed" else "HIDDEN_STATE",
        }
        config |= {
            "use_dropout_entropy_penalty": False,
            "use_dropout_l1_norm_penalty": True,
            "l1_norm_penalty_type": "SQUARED",
            "dropout_entropy_coeff_config": None,
            "dropout_l1_norm_coeff_config": {
                "min_coeff": None,
                "max_coeff": model.masks.penalty,
                "exp_rate": None,
            },
        }
    return config


def case_config(model):
    """The sizes of a fixture's model, for whoever reads its JSON file."""
    masks = model.masks or Masks()
    return {
        "vocab": model.vocabulary,
        "context": model.context,
        "n_embed": model.width,
        "n_head": model.heads,
        "n_layer": model.layers,
        "kind": "dropout" if model.masks is None else "learned",
        "dropout_rate": 0.0,
        "mask_input": masks.source,
        "detach_mask_input": masks.detached,
        "shift_init": masks.shift,
        "penalty": None if model.masks is None else masks.penalty,
    }


def write_plain(folder, name, model):
    """A checkpoint of dictionaries and strings, with evaluation and training values."""
    network = drawn(model, seed=0)
    ids, targets, evaluation = evaluated(network)
    case = {
        "config": case_config(model),
        "ids": ids.tolist(),
        "targets": targets.tolist(),
        "eval": evaluation,
        "train_noise_half": trained(network, ids, targets),
    }
    checkpoint = {
        "model": network.state_dict(),
        "model_config": original_config(model),
        "iter_num": 0,
        "best_val_loss": None,
    }
    write(folder, name, checkpoint, case)


def write(folder, name, checkpoint, case):
    torch.save(checkpoint, folder / f"{name}.pt")
    (folder / f"{name}.json").write_text(json.dumps(case))


def training_code():
    """A module with the classes of a training program, known to pickles by its name only."""
    module = types.ModuleType("training_code.model")
    for name, members in [
        ("MaskRounding", ["NOISE_AND_LINEAR"]),
        ("MaskSource", ["HIDDEN_STATE", "EMBED"]),
        ("NormKind", ["LINEAR", "SQUARED"]),
    ]:
        choices = {member: member for member in members}
        setattr(module, name, enum.Enum(name, choices, type=str, module=module.__name__))
    for name in ["Model", "Masks", "Coefficient"]:
        record = type(name, (types.SimpleNamespace,), {"__module__": module.__name__})
        # Without this a namespace pickles itself by a constructor that importers need not know.
        record.__reduce__ = object.__reduce__
        setattr(module, name, record)
    package = types.ModuleType("training_code")
    package.model = module
    sys.modules |= {"training_code": package, "training_code.model": module}
    return module


def write_enums(folder, code):
    """Choices as members of enums, names with a prefix, and the optimizer after one step."""
    model = Model(11, 6, 8, 2, 1, Masks())
    network = drawn(model, seed=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    ids = random_tokens(model, 2)
    network.train()
    network(ids, ids)[1].backward()
    optimizer.step()
    ids, targets, evaluation = evaluated(network)
    config = original_config(model) | {
        "use_flash": False,
        "l1_norm_penalty_type": code.NormKind.LINEAR,
        "dropout_l1_norm_coeff_config": {"min_coeff": 0.001, "max_coeff": 0.2, "exp_rate": 7e-4},
    }
    config["learned_dropout_config"] |= {
        "mask_rounding_type": code.MaskRounding.NOISE_AND_LINEAR,
        "sigmoid_scale": 60,
        "shift_init": 0,
        "dropout_input_type": code.MaskSource.HIDDEN_STATE,
    }
    checkpoint = {
        "model": {f"_orig_mod.{name}": value for name, value in network.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "model_config": config,
        "iter_num": 1,
        "best_val_loss": torch.tensor(2.5),
        "config": {"batch_size": 2, "device": torch.device("cpu")},
    }
    case = {"ids": ids.tolist(), "targets": targets.tolist(), "eval": evaluation}
    write(folder, "tiny-enums", checkpoint, case)


def write_objects(folder, code):
    """Objects for tables, and weights of several types and memory layouts."""
    masks = dataclasses.replace(FROM_EMBEDDING, shift=1.5, penalty=0.3)
    model = Model(11, 6, 8, 2, 1, masks)
    network = drawn(model, seed=2)
    ids_and_targets = random_tokens(model, 2), random_tokens(model, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    network.eval()
    with torch.no_grad():
        logits, loss = network(*ids_and_targets)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    state = {name: value.to(torch.bfloat16) for name, value in state.items()}
    state["module.output_layer.weight"] = state["module.token_embedding.weight"]
    up = "module.transformer_blocks.0.feed_forward.linear.weight"
    state[up] = state[up].t().contiguous().t()  # the same values, another layout
    storage = torch.zeros(3, model.width, dtype=torch.bfloat16)
    storage[1] = state["module.ln.weight"]
    state["module.ln.weight"] = storage[1]  # begins within its storage
    norm = "module.transformer_blocks.0.ln1.weight"
    state[norm] = state[norm].double()
    config = original_config(model)
    config["learned_dropout_config"] |= {
        "mask_rounding_type": code.MaskRounding.NOISE_AND_LINEAR,
        "dropout_input_type": code.MaskSource.EMBED,
    }
    coefficient = code.Coefficient(**config["dropout_l1_norm_coeff_config"])
    config |= {
        "learned_dropout_config": code.Masks(**config["learned_dropout_config"]),
        "l1_norm_penalty_type": code.NormKind.SQUARED,
        "dropout_l1_norm_coeff_config": coefficient,
    }
    for absent in ["alphabet_size", "use_dropout_entropy_penalty", "dropout_entropy_coeff_config"]:
        del config[absent]
    checkpoint = {
        "model": state,
        "model_config": code.Model(**config),
        "iter_num": 7,
        "best_val_loss": 2.0,
    }
    evaluation = {
        "loss": loss.item(),
        "logits_last": logits[:, -1].tolist(),
        "penalty": network.mean_over_masks("penalty").item(),
        "kept": network.mean_over_masks("kept").item(),
    }
    ids, targets = (tokens.tolist() for tokens in ids_and_targets)
    write(folder, "tiny-objects", checkpoint, {"ids": ids, "targets": targets, "eval": evaluation})


def write_fixtures(arguments):
    # Sums in another order give other last digits.
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, model in FIXTURES.items():
        write_plain(arguments.out, name, model)
    code = training_code()
    write_enums(arguments.out, code)
    write_objects(arguments.out, code)


def numbers(value, path=""):
    """Numbers within JSON by their place; anything else by its place too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}/{index}")
    else:
        yield path, value


def difference(value, other):
    """How far two numbers lie apart, in parts of the larger one where that is above 1."""
    return abs(value - other) / max(1.0, abs(value), abs(other))


def json_difference(left, right):
    """The largest difference of two JSON files; infinite if they differ in more than fractions."""
    left, right = (dict(numbers(json.loads(path.read_text()))) for path in (left, right))
    if left.keys() != right.keys():
        return math.inf
    largest = 0.0
    for place, value in left.items():
        other = right[place]
        if isinstance(value, float) and isinstance(other, float):
            largest = max(largest, difference(value, other))
        elif value != other:
            return math.inf
    return largest


def weight_difference(left, right):
    """The largest difference of the weights of two checkpoints."""
    left, right = (torch.load(path, weights_only=False)["model"] for path in (left, right))
    if left.keys() != right.keys():
        return math.inf
    return max(
        difference(value, other)
        for name in left
        for value, other in zip(left[name].flatten().tolist(), right[name].flatten().tolist())
    )


def compare_fixtures(arguments):
    training_code()
    for path in sorted(arguments.left.glob("tiny-*")):
        other = arguments.right / path.name
        if path.read_bytes() == other.read_bytes():
            print(f"{path.name}: the same bytes")
            continue
        largest = json_difference if path.suffix == ".json" else weight_difference
        print(f"{path.name}: largest difference {largest(path, other):.2g}")


def bench(arguments):
    """Times forward, backward and AdamW on random tokens; prints one JSON object."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = PRESETS[arguments.preset]
    network = Transformer(model)
    forward = torch.compile(network) if arguments.compile else network
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=9e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    bf16 = arguments.dtype == "bf16"
    seconds = []
    for _ in range(arguments.warmup + arguments.steps):
        ids, targets = (random_tokens(model, arguments.batch) for _ in range(2))
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            _, loss = forward(ids, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    median = statistics.median_high(seconds[arguments.warmup :])
    report = {
        "preset": arguments.preset,
        "dtype": arguments.dtype,
        "compile": arguments.compile,
        "batch": arguments.batch,
        "step_seconds": median,
        "tokens_per_second": arguments.batch * model.context / median,
    }
    print(json.dumps(report))


def parsed():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    timing = commands.add_parser("bench", help="time training steps")
    timing.add_argument("--preset", choices=PRESETS, required=True)
    timing.add_argument("--batch", type=int, default=10, help="windows of a step")
    timing.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    timing.add_argument("--compile", action="store_true", help="with torch.compile")
    timing.add_argument("--threads", type=int, default=2)
    timing.add_argument("--warmup", type=int, default=2, help="steps before those that count")
    timing.add_argument("--steps", type=int, default=5, help="steps whose median counts")
    timing.set_defaults(run=bench)
    making = commands.add_parser("fixtures", help="write the checkpoints of the tests")
    making.add_argument("--out", type=pathlib.Path, required=True)
    making.set_defaults(run=write_fixtures)
    comparing = commands.add_parser("compare", help="compare two folders of fixtures")
    comparing.add_argument("left", type=pathlib.Path)
    comparing.add_argument("right", type=pathlib.Path)
    comparing.set_defaults(run=compare_fixtures)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parsed()
    arguments.run(arguments)
