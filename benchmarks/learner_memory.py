"""How much memory the learner's step takes with a vocabulary of 151,936 tokens: medrl, full logits, and TRL, on the CPU.

    python benchmarks/learner_memory.py [--json FILE]

The same GRPO update is made three times, each in a process of its own, over the same model (Qwen2 type, 2 layers of
width 64, tied embeddings, fp32), the same 64 rows of 32 prompt and 128 response tokens, and the same advantages:

    medrl        `TorchLearner.update` with its default settings
    full logits  the same learner, loss and micro-batches, but the log-probabilities of a micro-batch come from
                 `model(...).logits` and `log_softmax`: the plain way; one micro-batch holds all rows
    trl          `GRPOTrainer.training_step` of TRL, which never holds all logits either, and its optimizer's step; its
                 generation is replaced by a `rollout_func` that returns the same responses. The loss goes over 8 rows
                 at a time, the fewest that hold a whole group (`PEER_ROWS`), which takes the least memory

Protocol, alike for all: first a step over 2 rows (one of TRL's smallest batches for it), so that AdamW's two moments exist
and lazy set-up is done; then the process gives free memory back to the system and its resident memory is read; then
comes the step that counts, and the peak of resident memory in it (VmHWM of /proc/self/status, reset just before) less
what was read is the figure. The moments are thus in nobody's figure; gradients, which are freed after every step, are in
everybody's, and so are activations and temporaries.

"Full logits" in bytes is rows x response tokens x vocabulary x 4: what one fp32 copy of them takes.

Not measured: GPUs, sampling, weights and optimizer state, speed.
"""
