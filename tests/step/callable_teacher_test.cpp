// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/step/callable_teacher.hpp"

#include <cmath>
#include <cstdint>

#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/sigmoid_distillation.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using test::gradient_error;
using test::gradients_of;
using test::small_batch;
using test::small_model;

namespace {

StepModel<> step_of(const DualEncoder& model) {
  return pair_step_model(model, torch::kCPU, {.trim_y = true});
}

}  // namespace

TEST_CASE("Two functions teach as the model that they call", "[step][cpu]") {
  auto student = small_model(0.0, 10.0, /*bias=*/true);
  auto teacher = small_model(0.0, 20.0, /*bias=*/true);
  student->to(torch::kDouble);
  teacher->to(torch::kDouble);
  {
    const torch::NoGradGuard no_grad;
    for (auto& weight : teacher->parameters())
      if (weight.dim() > 1) weight.add_(0.1 * torch::randn_like(weight));
    teacher->logit_scale.fill_(std::log(20.0));  // without the rounding of float32
  }
  freeze_teacher(*teacher);
  // The functions read their own images, which have twice the side.
  auto batch = small_batch(23, torch::kDouble);
  batch.tensors.emplace("large", batch.at("image").repeat_interleave(2, 2).repeat_interleave(2, 3));
  std::int64_t images = 0, tokens = 0;
  const auto functions = callable_teacher(
      [&](const at::Tensor& large) {
        CHECK_FALSE(torch::GradMode::is_enabled());
        images += large.size(0);
        return 3.0 * teacher->encode_image(large.slice(2, 0, {}, 2).slice(3, 0, {}, 2));
      },
      [&](const at::Tensor& text) {
        tokens += text.numel();
        return teacher->encode_text(text);
      },
      {.scale = 20.0, .bias = -2.0, .inputs = {.x_input = "large", .trim_y = true}});
  const auto compare = [&](const auto& loss) {
    FullBatch expected_step(with_teachers(step_of(student), {{.model = step_of(teacher)}}), loss);
    const auto expected = gradients_of(expected_step, batch, *student);
    for (const std::int64_t chunk : {23, 6}) {
      images = tokens = 0;
      GradCache step(with_teachers(step_of(student), {functions}), loss, {.chunk_size = chunk});
      CHECK(gradient_error(gradients_of(step, batch, *student), expected) <
            test::tolerance(torch::kDouble));
      CHECK(images == 23);                                   // Each image once.
      CHECK(tokens < (chunk == 6 ? 23 * 12 : 23 * 12 + 1));  // Chunks of texts are trimmed.
    }
  };
  compare(AffinityLoss());
  compare(SigmoidDistillation());
}

TEST_CASE("Functions whose features do not agree are named", "[step][cpu]") {
  const auto student = small_model();
  const auto flat = [](const at::Tensor& in) { return in.flatten(1).to(torch::kFloat); };
  GradCache step(with_teachers(step_of(student), {callable_teacher(flat, flat)}), AffinityLoss(),
                 {.chunk_size = 4});
  CHECK_THROWS_WITH(step(small_batch(9)), Contains("the towers made") && Contains("'image'"));
  GradCache missing(with_teachers(step_of(student),
                                  {callable_teacher(flat, flat, {.inputs = {.x_input = "large"}})}),
                    AffinityLoss(), {.chunk_size = 4});
  CHECK_THROWS_WITH(missing(small_batch(9)), Contains("no tensor named 'large'"));
}
