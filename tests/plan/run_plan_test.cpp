// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/plan/run_plan.hpp"

#include <string>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

/// A run that is in order: 50,000 samples for 30 epochs in batches of 256.
RunPlan good_plan() {
  return {.model = "ViT-B-32",
          .image_parameters = 87'849'216,
          .text_parameters = 63'428'097,
          .forward_gflops = 14.78,
          .text_context = 77,
          .dataset_samples = 50'000,
          .batch_size = 256,
          .total_steps = 30 * 195,
          .schedule = "cosine",
          .peak_lr = 5e-4,
          .warmup_steps = 292,
          .precision = "bf16",
          .activation_bytes_per_sample = 40e6,
          .samples_in_flight = 256,
          .free_memory_bytes = 80 * kGiB};
}

std::string only_message(const RunPlan& plan, PlanFinding::Severity severity) {
  const auto findings = plan.findings();
  REQUIRE(findings.size() == 1);
  REQUIRE(findings[0].severity == severity);
  return findings[0].message;
}

constexpr auto kError = PlanFinding::Severity::kError;
constexpr auto kWarning = PlanFinding::Severity::kWarning;

}  // namespace

TEST_CASE("a run in order has no findings and a table with its numbers", "[plan][cpu]") {
  const auto plan = good_plan();
  REQUIRE(plan.findings().empty());
  REQUIRE(plan.steps_per_epoch() == 195);
  REQUIRE(plan.epochs() == 30);
  const auto text = plan.to_string();
  for (const auto* part :
       {"ViT-B-32, 151.3 M parameters (image 87.8 M, text 63.4 M)", "77 tokens per text",
        "50,000 samples in 195 steps of 256 per epoch, 80 left over",
        "5,850 steps, 1,497,600 samples, 30.00 epochs", "cosine, highest 0.0005 at step 292",
        "292 steps, 5.0 % of the run", "bf16",
        "weights 577.1 MiB, gradients 577.1 MiB, optimiser 1.1 GiB, activations 9.5 GiB",
        "about 11.8 GiB per device of 80.0 GiB free", "66.4 PFLOP"})
    CHECK_THAT(text, Contains(part));
}

TEST_CASE("a warm-up that outlasts the run is refused with the setting to change", "[plan][cpu]") {
  auto plan = good_plan();
  plan.batch_size = 500;
  plan.total_steps = 6570;
  plan.warmup_steps = 10'000;
  plan.peak_lr = 1e-3;
  CHECK(only_message(plan, kError) ==
        "warm-up takes 10,000 steps but the run has only 6,570, so the peak learning rate 0.001 is "
        "never reached (it ends at 0.00066); set --warmup to 328 (5 %) or train for at least "
        "50,000 steps (500.0 epochs)");
  CHECK_THAT(plan.to_string(), Contains("highest 0.000657 at step 6,570"));
  plan.warmup_steps = 6570;
  CHECK_THAT(only_message(plan, kError), Contains("never comes down"));
  plan.warmup_steps = 6569;
  CHECK_THAT(only_message(plan, kWarning), Contains("100 % of the run"));
}

TEST_CASE("a long warm-up is a warning", "[plan][cpu]") {
  auto plan = good_plan();
  plan.warmup_steps = 1170;  // 20 %
  CHECK(plan.findings().empty());
  plan.warmup_steps = 1755;
  CHECK_THAT(only_message(plan, kWarning), Contains("1,755 of 5,850") && Contains("30 %") &&
                                               Contains("--warmup to 292") && Contains("8,775"));
}

TEST_CASE("a batch larger than the data is refused", "[plan][cpu]") {
  auto plan = good_plan();
  plan.batch_size = 65'536;
  CHECK_THAT(only_message(plan, kError), Contains("65,536") && Contains("50,000") &&
                                             Contains("--batch-size to 50,000 or less"));
}

TEST_CASE("weights of another activation are refused", "[plan][cpu]") {
  auto plan = good_plan();
  plan.weights = "openai/ViT-B-32.safetensors";
  CHECK_THAT(only_message(plan, kError),
             Contains("openai/ViT-B-32") && Contains("trained with QuickGELU") &&
                 Contains("uses GELU") && Contains("with QuickGELU (OpenCLIP's"));
  plan.quick_gelu = true;
  CHECK(plan.findings().empty());
  plan.weights = "ViT-B-32-laion2B-s34B.safetensors";
  CHECK_THAT(only_message(plan, kError),
             Contains("trained with GELU") && Contains("uses QuickGELU") && Contains("without"));
  plan.weights_quick_gelu = true;  // What the configuration says outweighs the name.
  CHECK(plan.findings().empty());
  plan.weights_quick_gelu = false;
  plan.weights = "mine.safetensors";
  CHECK_THAT(only_message(plan, kError), Contains("mine.safetensors"));
  plan.weights = "";  // Nothing is loaded, so nothing can clash.
  CHECK(plan.findings().empty());
}

TEST_CASE("a dropped rest of more than a tenth of the data is a warning", "[plan][cpu]") {
  auto plan = good_plan();
  plan.batch_size = 30'000;
  CHECK_THAT(only_message(plan, kWarning), Contains("20,000 of 50,000") && Contains("40 %") &&
                                               Contains("--batch-size to 25,000"));
  plan.drops_last_batch = false;
  CHECK(plan.findings().empty());
  CHECK(plan.steps_per_epoch() == 2);
}

TEST_CASE("more memory than is free is a warning with the chunk that fits", "[plan][cpu]") {
  auto plan = good_plan();
  plan.free_memory_bytes = 8 * kGiB;
  // 0.9 * 8 GiB less 151,277,313 * 16 bytes, by 40 MB a sample.
  CHECK_THAT(only_message(plan, kWarning), Contains("about 11.8 GiB") &&
                                               Contains("8.0 GiB are free") &&
                                               Contains("chunks of 132 instead of 256"));
  plan.free_memory_bytes = 2 * kGiB;
  CHECK_THAT(only_message(plan, kWarning), Contains("alone take 2.3 GiB"));
  plan.free_memory_bytes = 0;
  CHECK(plan.findings().empty());
}

TEST_CASE("chunks lower the memory and cost a fourth forward", "[plan][cpu]") {
  auto plan = good_plan();
  CHECK(plan.forwards_per_step() == 3);
  plan.cached_chunk_size = 64;
  CHECK(plan.findings().empty());
  CHECK(plan.forwards_per_step() == 4);
  CHECK(plan.memory_bytes()[3] == 64 * 40e6);
  const auto text = plan.to_string();
  CHECK_THAT(text, Contains("towers in chunks of 64 samples") && Contains("activations 2.4 GiB"));
  CHECK_THAT(text, Contains("88.5 PFLOP"));  // 14.78 GFLOP * 4 * 1,497,600
  plan.free_memory_bytes = 3 * kGiB;
  CHECK_THAT(only_message(plan, kWarning), Contains("chunks of 11 instead of 64"));
  plan.cached_chunk_size = 1'000;  // larger than the batch
  CHECK(plan.samples_kept() == 256);
}

TEST_CASE("checkpoints of activations inside the chunks of GradCache are a warning",
          "[plan][cpu]") {
  auto plan = good_plan();
  plan.cached_chunk_size = 64;
  plan.checkpoints_activations = true;
  CHECK(plan.forwards_per_step() == 5);
  CHECK_THAT(only_message(plan, kWarning), Contains("five forwards a step instead of four") &&
                                               Contains("shrink the chunk of 64"));
}

TEST_CASE("checkpoints of activations that would fit anyway are a warning", "[plan][cpu]") {
  auto plan = good_plan();
  plan.checkpoints_activations = true;
  CHECK_THAT(only_message(plan, kWarning), Contains("four forwards a step instead of three") &&
                                               Contains("11.8 GiB are enough") &&
                                               Contains("80.0 GiB are free"));
  CHECK_THAT(plan.to_string(),
             Contains("activations are checkpointed") && Contains("at most 11.8 GiB per device"));
  plan.free_memory_bytes = 12 * kGiB;  // too tight without them
  CHECK(plan.findings().empty());
  plan.free_memory_bytes = 8 * kGiB;  // what they are for
  CHECK(plan.findings().empty());
  plan.free_memory_bytes = 2 * kGiB;  // and what they cannot help
  CHECK_THAT(only_message(plan, kWarning),
             Contains("needs about 2.3 GiB") && Contains("alone take 2.3 GiB"));
  plan.free_memory_bytes = 0;  // unknown
  CHECK(plan.findings().empty());
}

TEST_CASE("a beta2 that outlasts the run is a warning", "[plan][cpu]") {
  auto plan = good_plan();
  plan.total_steps = 999;
  plan.warmup_steps = 50;
  CHECK(plan.findings().empty());
  plan.beta2 = 0.999;
  CHECK_THAT(only_message(plan, kWarning),
             Contains("0.999") && Contains("1,000 steps") && Contains("999; set --beta2 to 0.98"));
}

TEST_CASE("an empty plan is refused without dividing by nothing", "[plan][cpu]") {
  const RunPlan plan;
  REQUIRE(plan.findings().size() == 4);
  for (const auto& finding : plan.findings()) CHECK(finding.severity == kError);
  CHECK_THAT(plan.to_string(), Contains("0 steps"));
}

TEST_CASE("refusals come before warnings", "[plan][cpu]") {
  auto plan = good_plan();
  plan.free_memory_bytes = kGiB;
  plan.warmup_steps = 10'000;
  const auto findings = plan.findings();
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].severity == kError);
  CHECK(findings[1].severity == kWarning);
}
