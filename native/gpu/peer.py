#!/usr/bin/env python3
"""FalconMamba-7B's shape with random weights in PyTorch transformers: the peer of `npm run gpu`'s tables.

Prefill in one call of 2,048 tokens without the head, decode with its cache for 1 and 64 sequences, bf16. What is missing or
fails is said in its row, and nothing is downloaded. transformers uses kernels where the packages kernels, or mamba_ssm and
causal_conv1d, are there; else it walks over the tokens one by one (src/transformers/models/falcon_mamba, 4.45 to 5.x), which
takes seconds a call and five gigabytes beside the weights: each row has a share of the time, so that none takes it all.
"""

import argparse
import importlib.util
import os
import time

# A package that would look for its kernels on the network must not wait for it.
for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

# A call that is this slow needs no second one to warm up.
SLOW_SECONDS = 2


def median(values):
    return sorted(values)[len(values) // 2]


def timed(torch, body, count, until):
    """Median seconds of `count` calls after two, or after one that is slow, by the device's clock; None where there was no time."""
    times, warm, called = [], 2, 0
    while len(times) < count and time.monotonic() < until:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        body()
        end.record()
        end.synchronize()
        seconds = begin.elapsed_time(end) / 1000
        called += 1
        if called == 1 and seconds > SLOW_SECONDS:
            warm = 1
        if called > warm:
            times.append(seconds)
    return median(times) if times else None


def row(name, measure):
    """Prints tokens a second, or why there are none."""
    try:
        rate = measure()
        text = "not measured: no time left" if rate is None else f"{rate:.0f}"
    except Exception as error:  # whatever one version of a package does must not cost the other rows
        text = f"not measured: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    print(f"| {name} | {text} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="no new timing starts after these")
    deadline = time.monotonic() + parser.parse_args().seconds
    try:
        import torch
        import transformers
        from transformers import FalconMambaConfig, FalconMambaForCausalLM
    except Exception as error:
        print(f"\npeer: not measured, {type(error).__name__}: {error}")
        return
    if not torch.cuda.is_available():
        print(f"\npeer: not measured, torch {torch.__version__} sees no CUDA device")
        return
    there = [name for name in ("kernels", "mamba_ssm", "causal_conv1d") if importlib.util.find_spec(name)]
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except Exception:
        selective_scan_fn = None

    # What follows from these is left to the class: versions differ in whether they take it.
    config = FalconMambaConfig(
        vocab_size=65024, hidden_size=4096, expand=2, num_hidden_layers=64, state_size=16, conv_kernel=4, time_step_rank=256,
        layer_norm_epsilon=1e-5, mixer_rms_eps=1e-6, tie_word_embeddings=False,
    )
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            model = FalconMambaForCausalLM(config).eval()
    except Exception as error:
        print(f"\npeer: not measured, {type(error).__name__}: {error}")
        return
    print(f"\n| transformers {transformers.__version__}, torch {torch.__version__}, {' and '.join(there) or 'no kernels'} | tokens/s |\n|---|---:|", flush=True)

    def share(part):
        return min(deadline, time.monotonic() + part * max(0.0, deadline - time.monotonic()))

    def prefill():
        ids = torch.randint(0, 65024, (1, 2048), device="cuda")
        layers = getattr(model, "backbone", model)
        seconds = timed(torch, lambda: layers(ids, use_cache=True), 10, share(0.4))
        return seconds and 2048 / seconds

    def decode(batch, part):
        prompt = torch.randint(0, 65024, (batch, 8), device="cuda")

        def generate(count):
            model.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)

        # Reading the prompt is in both, so the difference is 32 steps.
        until = share(part)
        short = timed(torch, lambda: generate(2), 3, until)
        long = timed(torch, lambda: generate(34), 3, until)
        return short and long and 32 * batch / (long - short)

    def scan():
        shape = (1, 8192, 2048)
        u, delta, z = (torch.randn(shape, device="cuda") for _ in range(3))
        a = -torch.rand(8192, 16, device="cuda", dtype=torch.float32)
        b, c = (torch.randn(1, 16, 2048, device="cuda") for _ in range(2))
        d = torch.ones(8192, device="cuda", dtype=torch.float32)
        run = lambda: selective_scan_fn(u, delta, a, b, c, d, z=z, delta_bias=d, delta_softplus=True)
        seconds = timed(torch, run, 20, share(0.5))
        return seconds and 2048 / seconds

    with torch.inference_mode():
        row("prefill, one call of 2,048 tokens", prefill)
        row("decode, 1 together", lambda: decode(1, 0.45))
        row("decode, 64 together", lambda: decode(64, 0.8))
        if selective_scan_fn is not None:
            row("mamba_ssm's selective scan, one layer, 2,048 tokens", scan)


if __name__ == "__main__":
    main()
