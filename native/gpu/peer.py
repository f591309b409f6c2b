#!/usr/bin/env python3
"""FalconMamba-7B's shape with random weights in PyTorch transformers: the peer of `npm run gpu`'s tables.

Prefill in one call of 2,048 tokens, decode with its cache for 1 and 64 sequences, bf16. What is missing is said, and nothing
is downloaded. Where mamba_ssm imports, transformers uses its kernels; the note says which it was.
"""

import argparse
import time


def median(values):
    return sorted(values)[len(values) // 2]


def timed(torch, body, count, deadline):
    """Median seconds of `count` calls after two, by the device's clock; None where there was no time for one."""
    times = []
    for i in range(count + 2):
        if time.monotonic() > deadline:
            break
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        body()
        end.record()
        end.synchronize()
        if i >= 2:
            times.append(begin.elapsed_time(end) / 1000)
    return median(times) if times else None


def row(name, tokens, seconds):
    print(f"| {name} | {'not measured: no time left' if seconds is None else f'{tokens / seconds:.0f}'} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="no new timing starts after these")
    deadline = time.monotonic() + parser.parse_args().seconds
    try:
        import torch
        import transformers
        from transformers import FalconMambaConfig, FalconMambaForCausalLM
    except ImportError as error:
        print(f"\npeer: not measured, {error}")
        return
    if not torch.cuda.is_available():
        print(f"\npeer: not measured, torch {torch.__version__} sees no CUDA device")
        return
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
        kernels = "mamba_ssm's kernels"
    except ImportError as error:
        selective_scan_fn = None
        kernels = f"no mamba_ssm kernels ({error})"

    config = FalconMambaConfig(
        vocab_size=65024, hidden_size=4096, intermediate_size=8192, expand=2, num_hidden_layers=64, state_size=16,
        conv_kernel=4, time_step_rank=256, layer_norm_epsilon=1e-5, mixer_rms_eps=1e-6, tie_word_embeddings=False,
    )
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = FalconMambaForCausalLM(config).eval()
    print(f"\n| transformers {transformers.__version__}, torch {torch.__version__}, {kernels} | tokens/s |\n|---|---:|")
    with torch.inference_mode():
        ids = torch.randint(0, 65024, (1, 2048), device="cuda")
        row("prefill, one call of 2,048 tokens", 2048, timed(torch, lambda: model(ids, use_cache=True), 10, deadline))
        for batch in (1, 64):
            prompt = torch.randint(0, 65024, (batch, 8), device="cuda")

            def decode(count=32):
                model.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)

            row(f"decode, {batch} together", 32 * batch, timed(torch, decode, 3, deadline))
        if selective_scan_fn is not None:
            shape = (1, 8192, 2048)
            u, delta, z = (torch.randn(shape, device="cuda") for _ in range(3))
            a = -torch.rand(8192, 16, device="cuda", dtype=torch.float32)
            b, c = (torch.randn(1, 16, 2048, device="cuda") for _ in range(2))
            d = torch.ones(8192, device="cuda", dtype=torch.float32)
            scan = lambda: selective_scan_fn(u, delta, a, b, c, d, z=z, delta_bias=d, delta_softplus=True)
            row("mamba_ssm's selective scan, one layer, 2,048 tokens", 2048, timed(torch, scan, 20, deadline))


if __name__ == "__main__":
    main()
