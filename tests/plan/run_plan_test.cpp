// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/plan/run_plan.hpp"

#include <optional>
#include <string>

#include "contrapunto/optim/beta2_for_batch.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr auto kError = PlanFinding::Severity::kError;
constexpr auto kWarning = PlanFinding::Severity::kWarning;
using Chunks = StepFacts::Chunks;

/// The facts that the parts of a run report. By default the run is sound: 50,000 samples for 30
/// epochs in batches of 256.
struct Run {
  ModelFacts model{.name = "ViT-B-32",
                   .towers = {{"visual", 87'849'216, 87'849'216}, {"text", 63'428'097, 63'428'097}},
                   .forward_gflops = 14.78,
                   .text_context = 77,
                   .activation_elements = 10e6,
                   .checkpointed_elements = 1e6,
                   .quick_gelu = false};
  DataFacts data{.samples = 50'000, .batch_size = 256};
  StepFacts step{.name = "whole batch"};
  OptimizerFacts optimizer{.name = "AdamW", .beta2 = 0.98, .bytes_per_parameter = 8};
  ScheduleFacts schedule{
      .name = "cosine", .peak_lr = 5e-4, .warmup_steps = 292, .total_steps = 30 * 195};
  PrecisionFacts precision{.name = "tf32"};
  RanksFacts ranks{};
  WeightsFacts weights{};
  DeviceFacts device{.free_bytes = 80 * kGiB};

  [[nodiscard]] RunPlan plan() const {
    return RunPlan(model, data, step, optimizer, schedule, precision, ranks, weights, device);
  }
};

std::string only_message(const RunPlan& plan, PlanFinding::Severity severity) {
  const auto findings = plan.findings();
  REQUIRE(findings.size() == 1);
  REQUIRE(findings[0].severity == severity);
  return findings[0].message;
}

void grad_cache(Run& run, std::int64_t chunk_size) {
  run.step = {.name = "GradCache",
              .chunks = chunk_size > 0 ? Chunks::kFixed : Chunks::kMeasured,
              .chunk_size = chunk_size,
              .forward_passes = 2};
}

}  // namespace

TEST_CASE("Phases of a run have rows, and length, computation and memory count them",
          "[plan][cpu]") {
  Run run;
  run.schedule.total_steps = 1000 + 200;
  run.data.samples = 100'000;
  run.data.batch_size = 500;
  auto plan = run.plan();
  CHECK_THAT(plan.to_string(), !Contains("phase"));
  plan.add(PhaseFacts{.steps = 1000,
                      .batch_size = 2000,
                      .image_size = 112,
                      .text_length = 16,
                      .lr_factor = 2.0,
                      .forward_gflops = 3.0,
                      .activation_elements = 4e6,
                      .checkpointed_elements = 5e5});
  plan.add(PhaseFacts{.first_step = 1000, .steps = 200, .batch_size = 500});
  CHECK(plan.total_samples() == 2'100'000);
  CHECK(plan.epochs() == 21.0);
  CHECK(plan.memory().activations == 4e6 * 4 * 2000);
  const auto text = plan.to_string();
  CAPTURE(text);
  CHECK_THAT(text, Contains("1,200 steps, 2,100,000 samples, 21.00 epochs"));
  CHECK_THAT(text,
             Contains("phase 1        1,000 steps of 2,000 from step 0, images of 112 pixels, "
                      "texts of 16 tokens, learning rate x 2, 80 % of the computation"));
  CHECK_THAT(text, Contains("phase 2        200 steps of 500 from step 1,000, 20 % of the"));
  // (2,000,000 x 3.0 + 100,000 x 14.78) GFLOP in three forwards.
  CHECK_THAT(text, Contains("22.4 PFLOP in all"));
  grad_cache(run, 64);
  plan.add(run.step);
  CHECK(plan.memory().activations == 10e6 * 4 * 64);
}

TEST_CASE("A sound run has no findings and a table with its numbers", "[plan][cpu]") {
  const auto plan = Run{}.plan();
  REQUIRE(plan.findings().empty());
  REQUIRE(plan.steps_per_epoch() == 195);
  REQUIRE(plan.epochs() == 30.0);
  const auto text = plan.to_string();
  for (const auto* part :
       {"ViT-B-32, 151.3 M parameters (visual 87.8 M, text 63.4 M)", "77 tokens per text",
        "50,000 samples in 195 steps of 256 per epoch, 80 left over",
        "5,850 steps, 1,497,600 samples, 30.00 epochs", "cosine, highest 0.0005 at step 292",
        "292 steps, 5.0 % of the run", "tf32", "AdamW", "step           the whole batch at once",
        "weights 577.1 MiB, gradients 577.1 MiB, optimizer 1.1 GiB, activations 9.5 GiB",
        "about 11.8 GiB per device of 80.0 GiB free", "66.4 PFLOP"})
    CHECK_THAT(text, Contains(part));
  CHECK_THAT(text, !Contains("unknown") && !Contains("ranks"));
}

TEST_CASE("Facts that no part reported are unknown, and their checks are left out", "[plan][cpu]") {
  const RunPlan nothing;
  CHECK(nothing.findings().empty());
  CHECK_FALSE(nothing.steps_per_epoch());
  CHECK_FALSE(nothing.epochs());
  CHECK_FALSE(nothing.forwards_per_step());
  const auto text = nothing.to_string();
  for (const auto* row :
       {"model          unknown", "data           unknown", "length         unknown",
        "learning rate  unknown", "optimizer      unknown", "precision      unknown",
        "step           unknown", "compute        unknown",
        "weights unknown, gradients unknown, optimizer unknown, activations unk"})
    CHECK_THAT(text, Contains(row));

  // A step without facts may keep any number of activations, so the sum is a lower bound.
  Run run;
  const RunPlan no_step(run.model, run.data, run.optimizer, run.schedule, run.precision);
  CHECK_FALSE(no_step.memory().activations);
  CHECK_THAT(no_step.to_string(),
             Contains("activations unknown") && Contains("at least 2.3 GiB per device"));
}

TEST_CASE("A plan takes facts, objects with facts() and optional ones", "[plan][cpu]") {
  struct Average {
    [[nodiscard]] MemoryFacts facts() const { return {"averaged weights", kGiB}; }
  };
  auto plan = Run{}.plan();
  const double before = plan.memory().total();
  std::optional<Average> average;
  plan.add(average);
  CHECK(plan.memory().total() == before);
  average.emplace();
  plan.add(average).add(MemoryFacts{"teacher", kGiB});
  CHECK(plan.memory().total() == before + 2 * kGiB);
  CHECK_THAT(plan.to_string(), Contains("averaged weights 1.0 GiB") && Contains("teacher 1.0 GiB"));
}

TEST_CASE("An average that still holds the initial weights at the end is warned about",
          "[plan][cpu]") {
  auto plan = Run{}.plan();
  const auto steps = *plan.total_steps();
  const auto slow = 1.0 - 0.5 / static_cast<double>(steps);
  plan.add(AverageFacts{kGiB, slow});
  const auto found = plan.findings();
  REQUIRE(found.size() == 1);
  CHECK(found[0].severity == kWarning);
  CHECK_THAT(found[0].message, Contains("61 % of the initial weights"));
  CHECK_THAT(plan.to_string(), Contains("averaged weights 1.0 GiB"));
  plan.add(AverageFacts{kGiB, 1.0 - 10.0 / static_cast<double>(steps)});
  CHECK(plan.findings().empty());
  plan.add(AverageFacts{kGiB, std::nullopt});
  CHECK(plan.findings().empty());
  // Later facts replace earlier ones, and the memory is counted once.
  CHECK(plan.memory().other == kGiB);
}

TEST_CASE("The decay that the plan advises passes the same check", "[plan][cpu]") {
  for (const std::int64_t steps : {8, 30, 999, 1'000, 20'000, 123'456, 10'000'000}) {
    INFO(steps << " steps");
    Run run;
    run.schedule.total_steps = steps;
    run.schedule.warmup_steps = 0;
    auto plan = run.plan();
    plan.add(AverageFacts{0, 1.0 - 1.0 / static_cast<double>(steps)});
    const auto message = only_message(plan, kWarning);
    const auto advice = message.substr(message.find("set the decay to ") + 17);
    const double decay = std::stod(advice);
    CHECK(decay < 1.0);
    CHECK(decay >= 1.0 - 20.0 / static_cast<double>(steps));
    plan.add(AverageFacts{0, decay});
    CHECK(plan.findings().empty());
  }
}

TEST_CASE("Findings of the program are listed with those of the plan, errors first",
          "[plan][cpu]") {
  auto plan = Run{}.plan();
  plan.warn("the disk is nearly full");
  plan.refuse_changes({"batch-size was 64, is 128"});
  const auto findings = plan.findings();
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].severity == kError);
  CHECK_THAT(findings[0].message, Contains("another setting: batch-size was 64, is 128"));
  CHECK(findings[1].severity == kWarning);
}

TEST_CASE("A warm-up that outlasts the run is refused with the option to change", "[plan][cpu]") {
  Run run;
  run.data.batch_size = 500;
  run.schedule = {.name = "cosine", .peak_lr = 1e-3, .warmup_steps = 10'000, .total_steps = 6570};
  CHECK(only_message(run.plan(), kError) ==
        "warm-up takes 10,000 steps but the run has only 6,570, so the peak learning rate 0.001 is "
        "never reached (it ends at 0.00066); set warmup_steps to 328 (5 %) or train for at least "
        "50,000 steps (500.0 epochs)");
  CHECK_THAT(run.plan().to_string(), Contains("highest 0.000657 at step 6,570"));
  run.schedule.warmup_steps = 6570;
  CHECK_THAT(only_message(run.plan(), kError), Contains("never comes down"));
  run.schedule.warmup_steps = 6569;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("100 % of the run"));
}

TEST_CASE("A long warm-up is a warning", "[plan][cpu]") {
  Run run;
  run.schedule.warmup_steps = 1170;  // 20 %
  CHECK(run.plan().findings().empty());
  run.schedule.warmup_steps = 1755;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("1,755 of 5,850") && Contains("30 %") &&
                                                     Contains("warmup_steps to 292") &&
                                                     Contains("8,775"));
}

TEST_CASE("Warm-up and cooldown must fit into the run together", "[plan][cpu]") {
  Run run;
  run.schedule.cooldown_steps = 5850 - 292;
  CHECK(run.plan().findings().empty());
  CHECK_THAT(run.plan().to_string(), Contains("cooldown       5,558 steps"));
  run.schedule.cooldown_steps += 1;
  CHECK_THAT(only_message(run.plan(), kError),
             Contains("292 and 5,559") && Contains("set cooldown_steps to 1,170"));
}

TEST_CASE("A run without steps, rate, data or batch is refused", "[plan][cpu]") {
  Run run;
  run.schedule.total_steps = 0;
  CHECK_THAT(only_message(run.plan(), kError), Contains("0 steps; raise total_steps"));
  run = {};
  run.schedule.peak_lr = 0;
  CHECK_THAT(only_message(run.plan(), kError), Contains("set peak_lr above 0"));
  run = {};
  run.data.samples = 0;
  CHECK_THAT(only_message(run.plan(), kError), Contains("the data set is empty"));
  run = {};
  run.data.batch_size = 0;
  CHECK_THAT(only_message(run.plan(), kError), Contains("batch_size is 0"));
}

TEST_CASE("A batch of one sample has no negatives and is refused", "[plan][cpu]") {
  Run run;
  run.data.batch_size = 1;
  CHECK_THAT(only_message(run.plan(), kError),
             Contains("no sample has a negative") && Contains("batch_size to at least 2"));
}

TEST_CASE("A batch larger than the data is refused", "[plan][cpu]") {
  Run run;
  run.data.batch_size = 65'536;
  run.device.free_bytes = 0;   // which would be too little as well
  run.optimizer.beta2 = 0.95;  // 0.98 is too slow for such a batch
  CHECK_THAT(only_message(run.plan(), kError),
             Contains("65,536") && Contains("50,000") && Contains("batch_size to 50,000 or less"));
}

TEST_CASE("Weights of another activation are refused", "[plan][cpu]") {
  Run run;
  run.weights.name = "openai/ViT-B-32.safetensors";
  CHECK_THAT(only_message(run.plan(), kError),
             Contains("openai/ViT-B-32") && Contains("trained with QuickGELU") &&
                 Contains("uses GELU") && Contains("with QuickGELU (OpenCLIP's"));
  run.model.quick_gelu = std::nullopt;  // The activation of the model was not reported.
  CHECK(run.plan().findings().empty());
  run.model.quick_gelu = true;
  CHECK(run.plan().findings().empty());
  run.weights.name = "ViT-B-32-laion2B-s34B.safetensors";
  CHECK_THAT(only_message(run.plan(), kError),
             Contains("trained with GELU") && Contains("uses QuickGELU") && Contains("without"));
  run.weights.quick_gelu = true;  // A reported fact has priority over the name.
  CHECK(run.plan().findings().empty());
  run.weights = {.name = "mine.safetensors", .quick_gelu = false};
  CHECK_THAT(only_message(run.plan(), kError), Contains("mine.safetensors"));
  run.weights.name = "";  // No weights are loaded, so there is no conflict.
  CHECK(run.plan().findings().empty());
}

TEST_CASE("Dropping more than a tenth of the data in each epoch is a warning", "[plan][cpu]") {
  Run run;
  run.data.batch_size = 30'000;
  run.optimizer.beta2 = 0.95;
  run.device.free_bytes = 0;
  CHECK_THAT(only_message(run.plan(), kWarning),
             Contains("20,000 of 50,000") && Contains("40 %") && Contains("batch_size to 25,000"));
  run.data.drops_last_batch = false;
  CHECK(run.plan().findings().empty());
  CHECK(run.plan().steps_per_epoch() == 2);
}

TEST_CASE("More memory than is free is a warning with the chunk that fits", "[plan][cpu]") {
  Run run;
  run.device.free_bytes = 8 * kGiB;
  // (0.9 * 8 GiB - 151,277,313 * 16 bytes) / 40 MB per sample.
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("about 11.8 GiB") &&
                                                     Contains("8.0 GiB are free") &&
                                                     Contains("chunks of 132 instead of 256"));
  run.device.free_bytes = 2 * kGiB;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("alone take 2.3 GiB"));
  run.device.free_bytes = 0;
  CHECK(run.plan().findings().empty());
}

TEST_CASE("The largest chunk on common GPUs is estimated from the facts", "[plan][cpu]") {
  Run run;
  // (0.9 * 40 GiB - 151,277,313 * 16 bytes) / 40 MB per sample, and so on, in multiples of 8.
  const auto expected = [](double gib, double fixed, double of_sample) {
    return static_cast<std::int64_t>((0.9 * gib * kGiB - fixed) / of_sample);
  };
  const double fixed = 151'277'313.0 * 16;
  REQUIRE(expected(40, fixed, 40e6) == 905);
  CHECK(run.plan().largest_chunk(40 * kGiB) == 905);
  CHECK(run.plan().largest_chunk(141 * kGiB) == expected(141, fixed, 40e6));
  CHECK(run.plan().largest_chunk(2 * kGiB) == 0);
  CHECK(run.plan().largest_chunk(0.0) == 0);
  CHECK_THAT(run.plan().to_string(),
             Contains("largest batch  an estimate: 904 samples on a GPU of 40 GB, 1,872 of 80 GB, "
                      "3,344 of 141 GB\n"));
  run.ranks.ranks = 2;
  CHECK_THAT(run.plan().to_string(), Contains("3,344 of 141 GB, per rank\n"));
  run.optimizer.shards_state = true;  // which leaves room for more
  CHECK(run.plan().largest_chunk(40 * kGiB) == expected(40, 151'277'313.0 * 12, 40e6));
  grad_cache(run, 64);
  CHECK(run.plan().largest_chunk(40 * kGiB) == expected(40, 151'277'313.0 * 12, 40e6));
  CHECK_THAT(run.plan().to_string(),
             Contains("largest chunk  an estimate: ") && !Contains("per rank"));
  grad_cache(run, 0);  // known before it is measured
  CHECK(run.plan().largest_chunk(40 * kGiB) == expected(40, 151'277'313.0 * 12, 40e6));
  run.precision = {.name = "bf16", .weight_bytes = 6, .gradient_bytes = 4, .activation_bytes = 2};
  run.model.checkpoints_activations = true;
  CHECK(run.plan().largest_chunk(40 * kGiB) == expected(40, 151'277'313.0 * 14, 2e6));
  auto plan = run.plan();
  plan.add(MemoryFacts{"teacher", 4 * kGiB});
  CHECK(plan.largest_chunk(40 * kGiB) == expected(40, 151'277'313.0 * 14 + 4 * kGiB, 2e6));

  run.model.checkpointed_elements = std::nullopt;
  CHECK_FALSE(run.plan().largest_chunk(40 * kGiB));
  CHECK_THAT(run.plan().to_string(), Contains("largest chunk  unknown"));
  CHECK_FALSE(RunPlan(Run{}.model, Run{}.step, Run{}.precision).largest_chunk(40 * kGiB));
  Run large;  // Of which no sample fits beside the weights on the smallest GPU.
  large.model.towers[0] = {"visual", 2'500'000'000, 2'500'000'000};
  CHECK_THAT(large.plan().to_string(),
             Contains("an estimate: 0 samples on a GPU of 40 GB, 904 of 80 GB"));
}

TEST_CASE("Chunks lower the memory and cost a fourth forward", "[plan][cpu]") {
  Run run;
  CHECK(run.plan().forwards_per_step() == 3);
  grad_cache(run, 64);
  const auto plan = run.plan();
  CHECK(plan.findings().empty());
  CHECK(plan.forwards_per_step() == 4);
  CHECK(plan.memory().activations == 64 * 40e6);
  const auto text = plan.to_string();
  CHECK_THAT(text, Contains("GradCache, chunks of 64 samples") && Contains("activations 2.4 GiB"));
  CHECK_THAT(text, Contains("88.5 PFLOP"));  // 14.78 GFLOP * 4 * 1,497,600
  run.device.free_bytes = 3 * kGiB;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("chunks of 11 instead of 64"));
  grad_cache(run, 1'000);  // larger than the batch
  CHECK(run.plan().samples_in_flight() == 256);
}

TEST_CASE("A chunk size that is measured at the first step is reported as measured",
          "[plan][cpu]") {
  Run run;
  grad_cache(run, 0);
  const auto plan = run.plan();
  CHECK(plan.forwards_per_step() == 4);
  CHECK_FALSE(plan.samples_in_flight());
  CHECK_FALSE(plan.memory().activations);
  CHECK(plan.findings().empty());
  CHECK_THAT(plan.to_string(), Contains("chunks as large as fit, measured at the first step") &&
                                   Contains("activations measured at the first step") &&
                                   Contains("at least 2.3 GiB per device") &&
                                   Contains("88.5 PFLOP"));
  run.device.free_bytes = 2 * kGiB;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("needs at least 2.3 GiB"));
}

TEST_CASE("Checkpointed activations inside the chunks of GradCache are a warning", "[plan][cpu]") {
  Run run;
  grad_cache(run, 64);
  run.model.checkpoints_activations = true;
  CHECK(run.plan().forwards_per_step() == 5);
  CHECK_THAT(only_message(run.plan(), kWarning),
             Contains("five forwards a step instead of four") && Contains("smaller chunks"));
}

TEST_CASE("Checkpointed activations need less memory, and a warning when all would fit",
          "[plan][cpu]") {
  Run run;
  run.model.checkpoints_activations = true;
  CHECK(run.plan().memory().activations == 256 * 4e6);
  CHECK_THAT(only_message(run.plan(), kWarning),
             Contains("four forwards a step instead of three") && Contains("11.8 GiB are enough") &&
                 Contains("80.0 GiB are free"));
  CHECK_THAT(run.plan().to_string(),
             Contains("activations checkpointed") && Contains("about 3.2 GiB per device"));
  run.device.free_bytes = 12 * kGiB;  // too tight without them
  CHECK(run.plan().findings().empty());
  run.device.free_bytes = 3 * kGiB;  // less than even they need
  CHECK_THAT(only_message(run.plan(), kWarning),
             Contains("needs about 3.2 GiB") && Contains("instead of 256 samples"));
  run.model.checkpointed_elements = std::nullopt;  // a model that does not report it
  CHECK(run.plan().findings().empty());
  CHECK_THAT(run.plan().to_string(), Contains("at least 2.3 GiB"));
  run.device.free_bytes = 0;  // unknown
  CHECK(run.plan().findings().empty());
}

TEST_CASE("Ranks divide the batch, and the optimizer's state when it is sharded", "[plan][cpu]") {
  Run run;
  run.ranks.ranks = 4;
  CHECK(run.plan().samples_in_flight() == 64);
  const double state = 8.0 * 151'277'313;
  CHECK(run.plan().memory().optimizer == state);
  run.optimizer.shards_state = true;
  CHECK(run.plan().memory().optimizer == state / 4);
  CHECK_THAT(run.plan().to_string(),
             Contains("ranks          4") && Contains("state sharded over the ranks"));
  CHECK(run.plan().findings().empty());
}

TEST_CASE("A frozen tower has weights but neither gradients nor optimizer state", "[plan][cpu]") {
  Run run;
  run.model.towers[0].trainable_parameters = 0;
  const auto memory = run.plan().memory();
  CHECK(memory.weights == 4.0 * 151'277'313);
  CHECK(memory.gradients == 4.0 * 63'428'097);
  CHECK(memory.optimizer == 8.0 * 63'428'097);
  CHECK_THAT(run.plan().to_string(), Contains("visual 87.8 M frozen"));
}

TEST_CASE("Batch norm with statistics of a part of the batch is a warning", "[plan][cpu]") {
  Run run;
  run.model.has_local_batch_norm = true;
  CHECK(run.plan().findings().empty());
  run.ranks.ranks = 2;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("synchronize_batch_norm()"));
  run.ranks.ranks = 1;
  grad_cache(run, 64);
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("statistics of a chunk"));
}

TEST_CASE("A teacher is shown with its part of the loss and of the computation", "[plan][cpu]") {
  Run run;
  run.model.forward_gflops = 10.0;
  auto plan = run.plan();
  const double before = plan.memory().total();
  const auto alone = plan.to_string();
  CHECK(alone.find("teacher") == std::string::npos);
  plan.add(TeacherFacts{"ViT-L-14", 427'616'513, 0.75, 20.0, 2 * kGiB});
  CHECK(plan.memory().total() == before + 2 * kGiB);
  const auto forwards = static_cast<double>(*plan.forwards_per_step());
  const auto percent = as_percent(20.0 / (20.0 + 10.0 * forwards), 0);
  CHECK_THAT(plan.to_string(), Contains("ViT-L-14, 427.6 M parameters, 75 % of the loss, " +
                                        percent + " of the computation of a step") &&
                                   Contains("teacher 2.0 GiB") &&
                                   Contains("with backward and teacher"));
  CHECK(plan.findings().empty());
  plan.add(TeacherFacts{.name = "ours"});  // Nothing else is known of it.
  CHECK_THAT(plan.to_string(), Contains("ours, 0.0 M parameters, 100 % of the loss\n"));
  plan.add(TeacherFacts{
      .name = "third", .precision = "bf16", .own_image_size = 336, .own_text_context = 64});
  CHECK_THAT(plan.to_string(), Contains("100 % of the loss, bf16, images of 336 pixels, texts of "
                                        "64 tokens\n"));
  plan.add(TeacherFacts{.name = "fourth", .precision = run.precision.name});
  CHECK_THAT(plan.to_string(), Contains("fourth, 0.0 M parameters, 100 % of the loss\n"));
  plan.add(TeacherFacts{.name = "fifth", .weight = 0.5, .stored_views = 3, .stored_texts = true});
  CHECK_THAT(plan.to_string(),
             Contains("fifth, stored texts, 3 stored views per image, 50 % of the loss\n"));
  plan.add(TeacherFacts{.name = "sixth", .stored_views = 1});
  CHECK_THAT(plan.to_string(), Contains("sixth, 1 stored view per image, 100 % of the loss\n"));
}

TEST_CASE("A teacher with the wrong activation or without a weight is found", "[plan][cpu]") {
  Run run;
  auto plan = run.plan();
  plan.add(TeacherFacts{
      .name = "ViT-B-16", .weights = "vit_b_16-openai.safetensors", .quick_gelu = false});
  CHECK_THAT(only_message(plan, kError),
             Contains("vit_b_16-openai.safetensors") && Contains("the model ViT-B-16 uses GELU"));
  plan = run.plan();
  plan.add(TeacherFacts{.name = "ViT-B-16", .weight = 0.0});
  CHECK_THAT(only_message(plan, kWarning), Contains("its weight in the loss is 0"));
  plan = run.plan();
  plan.add(TeacherFacts{.name = "ViT-B-16", .weight = 0.0, .feature_weight = 2000.0});
  CHECK(plan.findings().empty());
  CHECK_THAT(plan.to_string(), Contains("0 % of the loss, features with weight 2000"));
}

TEST_CASE("Batch norm over chunks is a warning even if the ranks are synchronized", "[plan][cpu]") {
  Run run;
  run.model.has_batch_norm = true;
  run.ranks.ranks = 2;
  CHECK(run.plan().findings().empty());
  grad_cache(run, 64);
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("statistics of a chunk"));
  run.model.has_batch_norm = false;
  CHECK(run.plan().findings().empty());
}

TEST_CASE("A beta2 that averages over more steps than the run has is a warning", "[plan][cpu]") {
  Run run;
  run.schedule.total_steps = 999;
  run.schedule.warmup_steps = 50;
  CHECK(run.plan().findings().empty());
  run.optimizer.beta2 = 0.999;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("AdamW's beta2 of 0.999") &&
                                                     Contains("1,000 steps") &&
                                                     Contains("999; set beta2 to 0.98"));
  run.optimizer.beta2 = std::nullopt;  // an optimizer without one
  CHECK(run.plan().findings().empty());
}

TEST_CASE("A beta2 that is too slow for a large batch is a warning", "[plan][cpu]") {
  Run run;
  run.data = {.samples = 400'000'000, .batch_size = 16'383};
  run.device = {};  // the memory is not the question here
  run.optimizer.beta2 = 0.99;
  CHECK(run.plan().findings().empty());
  CHECK_THAT(run.plan().to_string(), Contains("AdamW, beta2 0.99\n"));
  run.data.batch_size = 16'384;
  CHECK_THAT(only_message(run.plan(), kWarning), Contains("AdamW's beta2 of 0.99") &&
                                                     Contains("batches of 16,384 samples") &&
                                                     Contains("set beta2 to 0.95"));
  run.optimizer.beta2 = 0.98;
  CHECK(run.plan().findings().size() == 1);
  run.optimizer.beta2 = 0.97;
  CHECK(run.plan().findings().empty());
  run.optimizer.beta2 = beta2_for_batch(16'384, 0.98);
  CHECK(run.plan().findings().empty());
  CHECK_THAT(run.plan().to_string(),
             Contains("AdamW, beta2 0.95, as for all batches from 16,384 samples on\n"));
  run.optimizer = {.name = "Lion"};
  CHECK(run.plan().findings().empty());
  CHECK_THAT(run.plan().to_string(), Contains("Lion\n"));
}

TEST_CASE("Errors come before warnings", "[plan][cpu]") {
  Run run;
  run.device.free_bytes = kGiB;
  run.schedule.warmup_steps = 10'000;
  const auto findings = run.plan().findings();
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].severity == kError);
  CHECK(findings[1].severity == kWarning);
}
