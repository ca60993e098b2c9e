// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/phase_facts.hpp"

#include "contrapunto/compress/teacher_inputs.hpp"
#include "contrapunto/schedule/with_phases.hpp"
#include "contrapunto/towers/image_size_scope.hpp"
#include "contrapunto/towers/with_varying_sizes.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "support/some_rank.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

RunLength phases_of(const ModelConfig& config, const std::vector<std::string>& phases) {
  std::vector<PhaseRequest> requests;
  for (const auto& phase : phases) requests.push_back(parse_phase(phase));
  return with_phases({.dataset_samples = 10'000, .batch_size = 100}, 1, requests, phase_of(config),
                     1.0);
}

}  // namespace

TEST_CASE("The facts of a phase are those of a model with its sizes", "[towers][cpu]") {
  const auto config = model_config("ViT-B-32");
  const auto run = phases_of(
      config, {"until 40%: image-size 128 text-length 16", "until 80%: batch-size 50 lr 0.5"});
  const auto facts = phase_facts(run, config, {});
  REQUIRE(facts.size() == 3);
  auto small = config;
  std::get<VisionTransformerOptions>(small.image).image_size = 128;
  small.text.context_length = 16;
  CHECK((facts[0].image_size == 128 && facts[0].text_length == 16));
  CHECK((facts[0].steps == 40 && facts[1].first_step == 40 && facts[1].batch_size == 50));
  CHECK(facts[0].forward_gflops == sample_facts(small).forward_gflops);
  CHECK(facts[0].activation_elements == sample_facts(small).activation_elements);
  CHECK(facts[0].checkpointed_elements == sample_facts(small).checkpointed_elements);
  CHECK((facts[1].lr_factor == 0.5 && facts[2].lr_factor == 1.0));
  for (const int last : {1, 2}) {
    const auto& own = facts[static_cast<std::size_t>(last)];
    CHECK((!own.image_size && !own.text_length));
    CHECK(own.forward_gflops == sample_facts(config).forward_gflops);
  }
  CHECK(phase_facts(phases_of(config, {}), config, {}).empty());
  auto images = config;
  images.image_only = true;
  const auto views =
      phase_facts(phases_of(images, {"until 40%: image-size 128"}), images, {}, /*views=*/2);
  small.image_only = true;
  CHECK(views[0].forward_gflops == 2.0 * sample_facts(small).forward_gflops.value());
}

TEST_CASE("A phase that a model cannot train is refused", "[towers][cpu]") {
  const auto refused = [](ModelConfig config, const std::string& phase,
                          std::initializer_list<const char*> words, const Ranks& ranks = {}) {
    CAPTURE(phase);
    CHECK(test::raises(
        [&] { static_cast<void>(phase_facts(phases_of(config, {phase}), config, ranks)); }, words));
  };
  const auto clip = model_config("ViT-B-32");
  refused(clip, "until 40%: image-size 16", {"image_size (16)"});
  refused(clip, "until 40%: text-length 78", {"78", "77"});
  refused(clip, "until 40%: text-length 2", {"from 3 to"});
  refused(model_config("RN50"), "until 40%: image-size 100", {"100", "32"});
  refused(model_config("ViT-B-16-SigLIP"), "until 40%: text-length 16", {"reads the padding"});
  refused(clip, "until 40%: batch-size 50", {"50", "ranks (4)"}, Ranks(test::SomeRank(0, 4)));
  auto images = clip;
  images.image_only = true;
  refused(images, "until 40%: text-length 16", {"without texts"});
}

TEST_CASE("A teacher has inputs of its own where phases change them", "[towers][cpu]") {
  const auto student = model_config("ViT-B-32"), teacher = model_config("ViT-B-16");
  const auto inputs = [&](const std::vector<std::string>& phases) {
    return teacher_inputs(teacher, with_varying_sizes(student, phases));
  };
  CHECK((inputs({}).image == "image" && inputs({}).text == "text"));
  CHECK(inputs({"until 40%: batch-size 5"}).image == "image");
  const auto images = inputs({"until 40%: lr 1", "until 50%: image-size 224"});
  CHECK((images.image == "teacher_image" && images.text == "text"));
  CHECK(inputs({"until 40%: text-length 8"}).text == "teacher_text");
}

TEST_CASE("An evaluation within a phase sees whole images", "[towers][cpu]") {
  VisionTransformer vit(test::small_vit());
  const AnyTower tower(vit);
  tower.accept_images(16);
  const auto images = torch::randn({1, 3, 32, 32});
  {
    const ImageSizeScope full(tower, 32);
    CHECK(tower(images).size(0) == 1);
  }
  CHECK(tower.accept_images(16) == 16);
  { const ImageSizeScope unused(tower, 0); }
  CHECK(tower.accept_images(16) == 16);
  const TextTransformer small(test::small_text());
  const AnyTower text(small);
  CHECK_FALSE(text.can_accept_images());
  CHECK(test::raises([&] { text.accept_images(32); }, {"accept_images", "extending.md"}));
}
