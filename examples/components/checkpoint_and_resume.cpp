// SPDX-License-Identifier: CC0-1.0
// Checkpoints: a run that is stopped after 5 of 10 steps and then resumed has the same weights, to
// the bit, as a run that was never stopped. Expect the message that the two are equal.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

/// A run of `until` steps in `output`; returns the weights.
torch::Tensor train(const std::filesystem::path& output, std::int64_t until) {
  torch::manual_seed(1);
  torch::nn::Sequential model(torch::nn::Linear(8, 8), torch::nn::Dropout(0.2));
  cp::AdamW optimizer(cp::decay_groups(*model, /*weight_decay=*/0.1));
  cp::Ema ema(*model, 0.9);
  cp::RunProgress progress;

  // snippet: checkpoint
  cp::CheckpointParts parts;  // one list of what is saved and restored
  parts.add("model", *model).add("optimizer", optimizer).add("ema", ema).add("progress", progress);
  parts.add_generators();
  const cp::RunFolder folder(output, {.resume = "auto"});  // locked against a second run
  if (folder.resumes()) folder.load(parts);
  // snippet end
  while (progress.step < until) {
    optimizer.zero_grad();
    model->forward(torch::randn({4, 8})).square().mean().backward();
    optimizer.step(1e-2);
    ema.update();
    progress.advance(/*batch=*/4);
  }
  folder.save(progress.step, parts);
  return model->parameters().front().detach().clone();
}

int main() {
  const auto output = std::filesystem::temp_directory_path() / "contrapunto-checkpoint-example";
  std::filesystem::remove_all(output);
  const auto undisturbed = train(output / "a", 10);
  train(output / "b", 5);
  const auto resumed = train(output / "b", 10);
  const bool equal = resumed.equal(undisturbed);
  std::cout << "the resumed run " << (equal ? "equals" : "differs from") << " the other\n";
  std::filesystem::remove_all(output);
  return equal ? 0 : 1;
}
