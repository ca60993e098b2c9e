// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/model_facts.hpp"

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/nn/parameter_count.hpp"
#include "contrapunto/towers/checkpoint_activations.hpp"
#include "contrapunto/towers/clip_adamw_options.hpp"
#include "contrapunto/towers/lock_towers.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A model reports its towers, its work and its activation", "[towers][cpu]") {
  const auto config = model_config("ViT-B-32-quickgelu");
  const auto model = make_dual_encoder(config, torch::kMeta);
  const auto facts = model_facts(*model, config);
  CHECK(facts.name == "ViT-B-32-quickgelu");
  REQUIRE(facts.towers.size() == 3);
  CHECK(facts.towers[0].name == "visual");
  CHECK(facts.towers[0].parameters == parameter_count(*model->visual()));
  CHECK(facts.towers[1].name == "text");
  CHECK(facts.towers[1].trainable_parameters == parameter_count(*model->text()));
  CHECK(facts.towers[2].parameters == 1);  // the scale
  CHECK(facts.forward_gflops == Approx(14.78).epsilon(0.01));
  CHECK(facts.text_context == 77);
  CHECK(facts.quick_gelu == true);
  CHECK(facts.activation_elements == activation_bytes(config, 1.0));
  CHECK_FALSE(facts.has_local_batch_norm);
}

TEST_CASE("Encoders give a plan the work and memory of each pass over a sample", "[towers][cpu]") {
  const auto config = model_config("ViT-B-32");
  const auto model = make_dual_encoder(config, torch::kMeta);
  const auto& x = model->x_tower();
  const auto both = model_facts(*model, "two towers", {x, model->y_tower()});
  const auto whole = model_facts(*model, config);
  CHECK(both.name == "two towers");
  CHECK(both.towers.size() == whole.towers.size());
  CHECK(both.forward_gflops.value() == Approx(whole.forward_gflops.value()));
  CHECK(both.activation_elements.value() == Approx(whole.activation_elements.value()));
  const auto views = model_facts(*model, "two views", {x, x});
  CHECK(views.activation_elements == 2 * x.cost()->kept_elements);
  struct SilentImpl : torch::nn::Module {
    at::Tensor forward(const at::Tensor& images) { return images; }
  };
  TORCH_MODULE(Silent);
  const auto unknown = model_facts(*model, "silent", {x, AnyTower(Silent())});
  CHECK_FALSE(unknown.forward_gflops);
  CHECK_FALSE(unknown.activation_elements);
}

TEST_CASE("Locked towers have no trainable parameters, and frozen batch norms are not local",
          "[towers][cpu]") {
  auto config = model_config("RN50");
  config.text.vocab_size = 100;
  auto model = make_dual_encoder(config, torch::kMeta);
  CHECK(model_facts(*model, config).has_local_batch_norm);
  CHECK(model_facts(*model, config).has_batch_norm);
  lock_image_tower(model, /*unlocked_groups=*/0, /*freeze_batch_norm_statistics=*/true);
  const auto facts = model_facts(*model, config);
  CHECK(facts.towers[0].trainable_parameters == 0);
  CHECK(facts.towers[0].parameters > 0);
  CHECK_FALSE(facts.has_local_batch_norm);
  CHECK_FALSE(facts.has_batch_norm);
}

TEST_CASE("The estimate of checkpointed activations includes the block that backward recomputes",
          "[towers][cpu]") {
  auto config = model_config(GENERATE("ViT-S-32", "RN50"));
  config.text.vocab_size = 500;
  config.text.context_length = 24;
  auto model = make_dual_encoder(config);
  checkpoint_activations(*model);
  model->train();
  const std::int64_t batch = 4;
  const auto images = torch::randn({batch, 3, config.image_size(), config.image_size()});
  auto tokens = torch::randint(1, 400, {batch, config.text.context_length});
  tokens.select(1, config.text.context_length - 1).fill_(config.text.vocab_size - 1);
  const MemoryMeter meter;
  const Embeddings e = model(images, tokens);
  const double kept = static_cast<double>(meter.current_bytes()) / static_cast<double>(batch);

  const auto facts = model_facts(*model, config);
  // After the forward pass only the inputs of blocks and the activations outside of blocks are
  // kept; no block has been recomputed yet.
  const auto image = std::visit(
      [](const auto& o) { return contrapunto::detail::checkpointed_elements(o); }, config.image);
  const auto text = contrapunto::detail::checkpointed_elements(config.text);
  const double inputs = 4.0 * (image.inputs + text.inputs);
  INFO(config.name << ": kept " << kept << " bytes a pair, estimated " << inputs);
  CHECK(inputs == Approx(kept).epsilon(0.25));
  CHECK(4.0 * *facts.checkpointed_elements > inputs);
  CHECK(*facts.checkpointed_elements < 0.6 * *facts.activation_elements);
}

TEST_CASE("AdamW's options are CLIP's for the kind of image tower", "[towers][cpu]") {
  auto vit = model_config("ViT-B-32");
  vit.name = "mine";  // the name does not matter
  CHECK(clip_adamw_options(vit).beta2 == 0.98);
  CHECK(clip_adamw_options(vit).eps == 1e-6);
  CHECK(clip_adamw_options(model_config("RN50")).beta2 == 0.999);
  CHECK(clip_adamw_options(model_config("RN50")).eps == 1e-8);
}
