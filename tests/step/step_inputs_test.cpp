// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// A loss whose inputs are not Embeddings: a student and a frozen teacher.
#include <vector>

#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using test::gradient_error;
using test::gradients_of;
using test::small_batch;
using test::small_model;

namespace {

struct StudentAndTeacher {
  Embeddings student, teacher;
};

/// Soft targets: the distribution of the student's rows should equal that of the teacher's.
struct Distillation {
  LossTerms operator()(const StudentAndTeacher& e) const {
    const auto& [s, t] = e;
    const auto targets = (t.scale * t.x.mm(t.y.t())).softmax(1);
    const auto soft = -(targets * (s.scale * s.x.mm(s.y.t())).log_softmax(1)).sum(1).mean();
    return {InfoNce{}(s) + soft, {{"soft", soft.detach()}}};
  }
};
static_assert(LossOf<Distillation, StudentAndTeacher> && !ContrastiveLoss<Distillation>);

}  // namespace

TEST_CASE("A frozen teacher enters through the head and runs once", "[step][cpu]") {
  auto student = small_model(), teacher = small_model(0.0, 20.0);
  student->to(torch::kDouble);
  teacher->to(torch::kDouble);
  for (auto& weight : teacher->parameters()) weight.set_requires_grad(false);
  int teacher_samples = 0;
  const auto s = pair_step_model(student, torch::kCPU), t = pair_step_model(teacher, torch::kCPU);
  StepModel model{
      std::vector<Encoder>{s.encoders[0], s.encoders[1], t.encoders[0], t.encoders[1]},
      [s, t](const std::vector<Features>& f, const Batch& batch) {
        return StudentAndTeacher{s.head({f[0], f[1]}, batch), t.head({f[2], f[3]}, batch)};
      }};
  model.parameters = s.parameters;
  model.buffers = s.buffers;
  model.encoders[2].forward = [&, forward = t.encoders[0].forward](const at::Tensor& images) {
    teacher_samples += static_cast<int>(images.size(0));
    return forward(images);
  };
  const auto batch = small_batch(23, torch::kDouble);
  FullBatch whole(model, Distillation{});
  const auto expected = gradients_of(whole, batch, *student);
  for (const double keep : {0.0, 1e9}) {
    GradCache cached(model, Distillation{}, {.chunk_size = 5, .keep_bytes = keep});
    for (int step = 0; step < 2; ++step) {
      teacher_samples = 0;
      CHECK(gradient_error(gradients_of(cached, batch, *student), expected) < 1e-10);
      CHECK(teacher_samples == 23);
    }
    CHECK(cached(batch).parts.front().first == "soft");
    student->zero_grad();
  }
}
