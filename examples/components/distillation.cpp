// SPDX-License-Identifier: CC0-1.0
// Distillation: a frozen teacher adds two encoders to the step, and the loss takes the features of
// both models. The teacher runs once per step, in chunks, and the gradient is exact under GradCache
// too. Expect a soft loss that falls: the student agrees more and more with its teacher.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: distillation
struct WithTeacher {
  cp::Embeddings student, teacher;
};

/// InfoNCE, and the cross-entropy of the student's similarities with those of the teacher.
struct SoftTargets {
  cp::LossTerms operator()(const WithTeacher& in) const {
    const auto& [student, teacher] = in;
    const auto targets = (teacher.scale * teacher.x.mm(teacher.y.t())).softmax(1);  // [B, B]
    const auto logits = student.scale * student.x.mm(student.y.t());
    const auto soft = -(targets * logits.log_softmax(1)).sum(1).mean();
    const auto contrastive = cp::TiledInfoNce()(student);
    return {contrastive + soft, {{"contrastive", contrastive}, {"soft", soft}}};
  }
};

/// The encoders of both models, and a head that returns what the loss takes.
cp::StepModel<WithTeacher> with_teacher(cp::DualEncoder student, cp::DualEncoder teacher) {
  for (auto& parameter : teacher->parameters()) parameter.set_requires_grad(false);
  teacher->eval();
  const auto ours = cp::pair_step_model(student, torch::kCPU);
  const auto theirs = cp::pair_step_model(teacher, torch::kCPU);
  auto encoders = ours.encoders;
  encoders.insert(encoders.end(), theirs.encoders.begin(), theirs.encoders.end());
  const auto head = [ours, theirs](const std::vector<cp::Features>& f, const cp::Batch& batch) {
    return WithTeacher{ours.head({f[0], f[1]}, batch), theirs.head({f[2], f[3]}, batch)};
  };
  return {encoders, head, ours.parameters, ours.buffers};
}
// snippet end

cp::DualEncoder make_model(std::int64_t width) {
  cp::ModelConfig config;
  config.image = cp::VisionTransformerOptions{.image_size = 32,
                                              .patch_size = 8,
                                              .width = width,
                                              .layers = 2,
                                              .heads = 2,
                                              .output_dim = width};
  config.text = {.context_length = 16, .vocab_size = 512, .width = width, .heads = 2, .layers = 2};
  config.embed_dim = config.text.output_dim = width;
  return cp::make_dual_encoder(config);
}

int main() {
  torch::manual_seed(1);
  cp::DualEncoder student = make_model(32), teacher = make_model(64);
  cp::AdamW optimizer(cp::decay_groups(*student, 0.1));
  cp::GradCache compute_gradients(with_teacher(student, teacher), SoftTargets{}, {.chunk_size = 8});
  cp::Batch batch;
  batch.tensors = {{"image", torch::rand({32, 3, 32, 32})},
                   {"text", torch::randint(1, 512, {32, 16})}};
  double first = 0.0, last = 0.0;
  for (int step = 0; step < 30; ++step) {
    optimizer.zero_grad();
    cp::StepRecord record{.step = step};
    record.add(compute_gradients(batch));
    optimizer.step(2e-3);
    last = *record.find("loss/soft");
    if (step == 0) first = last;
    if (step % 10 == 0) std::cout << "step " << step << ": soft " << last << "\n";
  }
  return last < first ? 0 : 1;
}
