// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "contrapunto/schedule/learning_rate_schedule.hpp"
#include "contrapunto/schedule/phase_watch.hpp"
#include "contrapunto/schedule/with_phases.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

/// The step and the place in the epoch of each batch of a loop that reads as trainers do: a new
/// pass begins where no batch fits, and `run` says which batch a step has.
struct Read {
  std::int64_t epoch, used, batch, image_size;
};
std::vector<Read> reads_of(const RunLength& run) {
  std::vector<Read> all;
  std::int64_t epoch = 0, used = 0;
  while (static_cast<std::int64_t>(all.size()) < run.total_steps) {
    const auto phase = run.phase_at(static_cast<std::int64_t>(all.size()));
    if (used + phase.batch_size > run.dataset_samples) {
      ++epoch, used = 0;
      continue;
    }
    all.push_back({epoch, used, phase.batch_size, phase.image_size});
    used += phase.batch_size;
  }
  return all;
}

}  // namespace

TEST_CASE("A phase is read with the names that it changes", "[schedule][cpu]") {
  const auto all = parse_phase("until 80%: image-size 112 text-length 16 batch-size 8192 lr 1e-3");
  CHECK((all.until.value == 0.8 && all.until.unit == DurationUnit::kFraction));
  CHECK((all.image_size == 112 && all.text_length == 16 && all.batch_size == 8192));
  CHECK(all.peak_lr == 1e-3);
  const auto one = parse_phase("until 1.5 epochs:lr 2");
  CHECK((one.until.value == 1.5 && one.image_size == 0 && one.peak_lr == 2.0));
  for (const char* text : {"80%: lr 1", "until 80% lr 1", "until 80%:", "until 80%: size 3",
                           "until 80%: lr", "until 80%: lr 0", "until 80%: image-size 1.5",
                           "until 80%: lr 1x", "until : lr 1", "until 5 steps: lr 1"}) {
    CAPTURE(text);
    CHECK(test::raises([&] { static_cast<void>(parse_phase(text)); }, {"parse_"}));
  }
}

TEST_CASE("Phases have the steps of a loop that reads batch by batch", "[schedule][cpu]") {
  std::mt19937 random(7);
  const auto draw = [&](int low, int high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  int runs = 0;
  while (runs < 300) {
    const auto samples = draw(20, 200);
    const auto epochs = static_cast<double>(draw(1, 12)) / static_cast<double>(draw(1, 2));
    const auto all = epochs * static_cast<double>(samples);
    std::vector<PhaseRequest> requests;
    double end = 0.0;
    for (auto i = draw(1, 3); i-- > 0;) {
      end += static_cast<double>(draw(1, 100)) / 300.0;
      requests.push_back({.until = {end, DurationUnit::kFraction},
                          .image_size = 100 + draw(1, 5),
                          .batch_size = draw(1, 20)});
    }
    const RunLength plain{.dataset_samples = samples, .batch_size = draw(1, 20)};
    RunLength run;
    try {
      run = with_phases(plain, epochs, requests, {.image_size = 224}, 1.0);
    } catch (const c10::Error&) {
      continue;  // A phase without a step.
    }
    ++runs;
    REQUIRE(run.phases.size() == requests.size() + 1);
    const auto reads = reads_of(run);
    CHECK(reads.size() == static_cast<std::size_t>(run.total_steps));
    std::int64_t read = 0, step = 0;
    for (std::size_t p = 0; p < run.phases.size(); ++p) {
      const auto& phase = run.phases[p];
      const bool last = p == requests.size();
      const double phase_end = last ? all : requests[p].until.value * all;
      REQUIRE(phase.first_step == step);
      REQUIRE(phase.steps > 0);
      CHECK(phase.image_size == (last ? 224 : requests[p].image_size));
      for (std::int64_t i = 0; i < phase.steps; ++i, ++step) {
        const auto& at = reads[static_cast<std::size_t>(step)];
        CHECK(at.batch == phase.batch_size);
        CHECK(static_cast<double>(at.epoch * samples + at.used) < phase_end);
        read += at.batch;
      }
      // Its next batch would begin at or behind the end, if need be in the next pass.
      const auto& before = reads[static_cast<std::size_t>(step - 1)];
      auto next = before.epoch * samples + before.used + before.batch;
      if (before.used + before.batch + phase.batch_size > samples)
        next = (before.epoch + 1) * samples;
      CHECK(static_cast<double>(next) >= phase_end);
    }
    CHECK(step == run.total_steps);
    CHECK(read == run.total_samples());
  }
}

TEST_CASE("A phase that changes nothing keeps the steps of the run", "[schedule][cpu]") {
  const RunLength plain{.dataset_samples = 1000, .batch_size = 300};
  const auto run = with_phases(plain, 10, {{.until = {4.5, DurationUnit::kEpochs}}}, {}, 1.0);
  CHECK(run.total_steps == 30);
  CHECK(with_phases(plain, 10, {}, {}, 1.0).total_steps == 30);
  CHECK(with_phases(plain, 10, {}, {}, 1.0).phases.empty());
  for (std::int64_t step = 0; step <= 30; ++step) {
    CAPTURE(step);
    CHECK(run.epochs_at(step) == Approx(static_cast<double>(step) / 3.0).margin(0.4));
  }
  CHECK(run.epochs_at(30) == Approx(10.0).margin(0.2));
  // A phase that begins with a pass begins at a whole epoch, although some samples were left out.
  const auto whole = with_phases(plain, 10, {{.until = {4, DurationUnit::kEpochs}}}, {}, 1.0);
  CHECK(whole.phases[1].first_epoch == 4.0);
  for (std::int64_t step = 0; step <= 30; ++step)
    CHECK(whole.epochs_at(step) == Approx(static_cast<double>(step) / 3.0).epsilon(1e-12));
}

TEST_CASE("Each phase has its batch, sizes and learning rate", "[schedule][cpu]") {
  const RunLength plain{.dataset_samples = 1000, .batch_size = 100};
  const std::vector<PhaseRequest> requests{
      {.until = {2, DurationUnit::kEpochs}, .image_size = 112, .batch_size = 50, .peak_lr = 2e-3},
      {.until = {3000, DurationUnit::kSamples}, .text_length = 8}};
  const auto run = with_phases(plain, 4, requests, {.image_size = 224, .text_length = 77}, 1e-3);
  REQUIRE(run.phases.size() == 3);
  CHECK(run.total_steps == 40 + 10 + 10);
  CHECK(run.total_samples() == 4000);
  CHECK(run.full_image_size() == 224);
  CHECK(run.at_start().batch_size == 50);
  CHECK((run.phase_at(39).batch_size == 50 && run.phase_at(40).batch_size == 100));
  CHECK((run.phase_at(39).image_size == 112 && run.phase_at(40).image_size == 224));
  CHECK((run.phase_at(0).text_length == 77 && run.phase_at(40).text_length == 8));
  CHECK((run.phase_at(50).text_length == 77 && run.phase_at(60).text_length == 77));
  CHECK(run.epochs_at(20) == 1.0);
  CHECK(run.epochs_at(45) == 2.5);
  CHECK(to_steps(parse_duration("500 samples"), run.at_start()) == 10);

  LearningRateScheduleOptions options{
      .peak_lr = 1e-3, .final_lr = 1e-4, .warmup_steps = 5, .total_steps = 60};
  const LearningRateSchedule plain_rate(options);
  options.phases = run.phases;
  const LearningRateSchedule rate(options);
  for (std::int64_t step = 0; step < 60; ++step)
    CHECK(rate(step) == plain_rate(step) * (step < 40 ? 2.0 : 1.0));
  CHECK(rate.facts().highest_lr == rate(4));
  CHECK(plain_rate.facts().highest_lr == 0.0);
  // The rate of a later phase may be the highest.
  options.phases.back().lr_factor = 100.0;
  const LearningRateSchedule late(options);
  CHECK(late.facts().highest_lr == late(50));
}

TEST_CASE("Phases that cannot be are refused", "[schedule][cpu]") {
  const RunLength plain{.dataset_samples = 1000, .batch_size = 100};
  const auto refused = [&](const std::vector<PhaseRequest>& requests,
                           std::initializer_list<const char*> words, double lr = 1.0) {
    CHECK(test::raises([&] { static_cast<void>(with_phases(plain, 4, requests, {}, lr)); }, words));
  };
  const Duration half{0.5, DurationUnit::kFraction};
  refused({{.until = {4, DurationUnit::kEpochs}}}, {"the run ends after 4000"});
  refused({{.until = half}, {.until = {1, DurationUnit::kEpochs}}}, {"phase 2 ends after 1000"});
  refused({{.until = half, .batch_size = 2000}}, {"phase 1", "2000"});
  refused({{.until = {100, DurationUnit::kSteps}}}, {"100 steps", "samples, epochs or %"});
  refused({{.until = half, .peak_lr = 1.0}}, {"phase 1", "that of the run is 0"}, 0.0);
  refused({{.until = {150, DurationUnit::kSamples}}, {.until = {200, DurationUnit::kSamples}}},
          {"phase 2", "no step"});
}

TEST_CASE("A watch calls before the first step of each phase, and after a resume",
          "[schedule][cpu]") {
  const RunLength plain{.dataset_samples = 100, .batch_size = 10};
  const auto run =
      with_phases(plain, 1, {{.until = {0.4, DurationUnit::kFraction}, .image_size = 32}}, {}, 1.0);
  std::vector<std::int64_t> calls;
  const auto note = [&](const RunPhase& phase) { calls.push_back(phase.first_step); };
  PhaseWatch watch(run, note);
  for (std::int64_t step = 0; step < 10; ++step)
    CHECK(watch(step).image_size == (step < 4 ? 32 : 0));
  CHECK(calls == std::vector<std::int64_t>{0, 4});
  PhaseWatch resumed(run, note);
  CHECK(resumed(7).image_size == 0);
  CHECK(calls == std::vector<std::int64_t>{0, 4, 4});
  PhaseWatch without(plain, note);
  CHECK(without(3).batch_size == 10);
  CHECK(calls.size() == 3);
}
