// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "contrapunto/nn/parameter_count.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "nn/raises.hpp"

using namespace contrapunto;

namespace {

struct Published {
  const char* name;
  std::int64_t image, text;
  double image_gflops, text_gflops;  // 0: not published
};

struct PublishedImageModel {
  const char* name;
  std::int64_t parameters;
};

// OpenCLIP's and TinyCLIP's tables. SigLIP's parameters are rounded there (92.88 M, 110.27 M), so
// they come from the released shapes.
constexpr Published kPublished[] = {
    {"RN50", 38'316'896, 63'690'240, 12.22, 5.96},
    {"RN101", 56'259'936, 63'428'096, 19.54, 5.96},
    {"RN50x4", 87'137'080, 91'163'520, 42.56, 9.27},
    {"ViT-S-32-alt", 22'592'640, 20'631'808, 2.29, 1.27},
    {"ViT-S-32", 22'641'792, 40'444'032, 2.29, 3.38},
    {"ViT-S-16", 21'813'504, 40'444'032, 9.20, 3.38},
    {"ViT-M-32-alt", 39'626'240, 40'444'032, 3.99, 3.38},
    {"ViT-M-32", 39'691'776, 63'428'096, 3.99, 5.96},
    {"ViT-B-32", 87'849'216, 63'428'096, 8.82, 5.96},
    {"ViT-B-16", 86'192'640, 63'428'096, 35.13, 5.96},
    {"ViT-L-14", 303'966'208, 123'650'304, 162.03, 13.30},
    {"ViT-H-14", 632'076'800, 354'032'640, 334.59, 47.09},
    {"TinyCLIP-ViT-39M-16-Text-19M", 38'587'392, 44'513'792, 15.98, 2.98},
    {"TinyCLIP-ViT-8M-16-Text-3M", 8'276'992, 15'169'024, 3.57, 0.38},
    {"TinyCLIP-ViT-40M-32-Text-19M", 39'691'776, 44'513'792, 3.99, 2.98},
    {"TinyCLIP-ViT-61M-32-Text-29M", 61'411'200, 53'970'944, 6.17, 4.47},
    {"TinyCLIP-ResNet-19M-Text-19M", 18'596'766, 44'775'936, 2 * 2.92, 2.98},
    {"TinyCLIP-ResNet-30M-Text-29M", 29'583'780, 54'233'088, 2 * 4.69, 4.47},
    {"ViT-B-16-SigLIP", 92'884'224, 110'271'744, 35.42, 11.02},
};

// OpenCLIP's Perception Encoder, both towers and the scale.
constexpr PublishedImageModel kPerceptionEncoders[] = {{"PE-Core-T-16-384", 69'546'113},
                                                       {"PE-Core-S-16-384", 87'188'225},
                                                       {"PE-Core-B-16", 447'660'545},
                                                       {"PE-Core-L-14-336", 671'138'817}};

// timm 1.0.31 without classifiers; big_vision's and compact transformers' from their papers' rules.
constexpr PublishedImageModel kPublishedImageModels[] = {
    {"vit_tiny_patch16_224", 5'524'416},
    {"vit_small_patch16_224", 21'665'664},
    {"vit_small_patch32_224", 22'493'952},
    {"vit_base_patch16_224", 85'798'656},
    {"vit_base_patch32_224", 87'455'232},
    {"vit_large_patch16_224", 303'301'632},
    {"deit3_small_patch16_224", 21'674'496},
    {"deit3_medium_patch16_224", 38'336'512},
    {"deit3_base_patch16_224", 85'816'320},
    {"vit_small_patch14_dinov2", 22'056'192},
    {"vit_base_patch14_dinov2", 86'579'712},
    {"vit_small_patch14_reg4_dinov2", 22'057'344},
    {"vit_base_patch14_reg4_dinov2", 86'582'016},
    {"beit_base_patch16_224", 85'761'984},
    {"eva02_tiny_patch14_224", 5'502'144},
    {"eva02_small_patch14_224", 21'621'120},
    {"vit_small_patch16_rope_mixed_224", 21'603'840},
    {"vit_base_patch16_rope_mixed_224", 85'675'008},
    {"vit_small_patch16_rope_224", 21'599'232},
    {"vit_base_patch16_rope_224", 85'665'792},
    // 12 blocks of 1,774,464, patches, and the last norm; positions are fixed.
    {"vit_small_patch16_big_vision", 12 * 1'774'464 + 384 * 769 + 768},
    // 0.28 M, 0.48 M and 3.76 M with 10 classes in the README of the authors. Blocks are two norms,
    // projections without bias and with bias, and an MLP.
    {"cct_2_3x2_32", 2 * (512 + 4 * 128 * 128 + 128 + 2 * 128 * 129) + 27 * 64 + 9 * 64 * 128 +
                         64 * 128 + 256 + 129},
    {"cct_4_3x2_32", 4 * (512 + 4 * 128 * 128 + 128 + 2 * 128 * 129) + 27 * 64 + 9 * 64 * 128 +
                         64 * 128 + 256 + 129},
    {"cct_7_3x1_32",
     7 * (1024 + 4 * 256 * 256 + 256 + 512 * 257 + 256 * 513) + 27 * 256 + 256 * 256 + 512 + 257},
    {"vit_192x9_patch4_32",
     9 * (768 + 4 * 192 * 192 + 192 + 384 * 193 + 192 * 385) + 49 * 192 + 65 * 192 + 192 + 384},
};

}  // namespace

TEST_CASE("Every model of images alone has the published number of parameters", "[towers][cpu]") {
  for (const auto& row : kPublishedImageModels) {
    INFO(row.name);
    const auto config = model_config(row.name);
    CHECK(config.image_only);
    const auto tower = make_image_tower(config, at::device(at::kMeta));
    CHECK(parameter_count(*tower) == row.parameters);
    CHECK(forward_gflops(config).x > 0.0);
    CHECK(forward_gflops(config).y == 0.0);
    CHECK(test::raises([&] { static_cast<void>(make_dual_encoder(config, at::kMeta)); },
                       {row.name, "images alone", "make_image_tower"}));
  }
}

TEST_CASE("Every named model has the published number of parameters", "[towers][cpu]") {
  for (const auto& row : kPublished) {
    INFO(row.name);
    const auto config = model_config(row.name);
    const auto model = make_dual_encoder(config, at::device(at::kMeta));
    CHECK(parameter_count(*model->visual()) == row.image);
    CHECK(parameter_count(*model->text()) == row.text);
    const std::int64_t scalars = config.initial_logit_bias ? 2 : 1;
    CHECK(parameter_count(*model) == row.image + row.text + scalars);
  }
  for (const auto& row : kPerceptionEncoders) {
    INFO(row.name);
    const auto model = make_dual_encoder(model_config(row.name), at::device(at::kMeta));
    CHECK(parameter_count(*model) == row.parameters);
  }
}

TEST_CASE("Every named model has the published work, within 3 percent", "[towers][cpu]") {
  for (const auto& row : kPublished) {
    INFO(row.name);
    const auto work = forward_gflops(model_config(row.name));
    CHECK(work.x == Approx(row.image_gflops).epsilon(0.03));
    CHECK(work.y == Approx(row.text_gflops).epsilon(0.03));
  }
}

TEST_CASE("The work of short texts is that of their tokens", "[towers][cpu]") {
  const auto config = model_config("ViT-B-32");
  CHECK(forward_gflops(config, 16).y == Approx(1.21).epsilon(0.01));
  CHECK(forward_gflops(config, 32).y == Approx(2.44).epsilon(0.01));
  CHECK(forward_gflops(config, 500).y == forward_gflops(config).y);
}

TEST_CASE("Every model name is known once, and an unknown name raises with the list",
          "[towers][cpu]") {
  const auto names = model_names();
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  CHECK(names.size() == std::size(kPublished) + 7 + std::size(kPerceptionEncoders) +
                            std::size(kPublishedImageModels));
  for (const auto& name : names) CHECK(model_config(name).name == name);
  CHECK(test::raises([] { static_cast<void>(model_config("ViT-B-33")); },
                     {"'ViT-B-33'", "ViT-B-32-quickgelu", "TinyCLIP-ViT-8M-16-Text-3M"}));
}

TEST_CASE("Quick-GELU twins differ in the activation only", "[towers][cpu]") {
  const auto count = [](const ModelConfig& config) {
    return parameter_count(*make_dual_encoder(config, at::device(at::kMeta)));
  };
  int twins = 0;
  for (const auto& name : model_names()) {
    const auto cut = name.find("-quickgelu");
    if (cut == std::string::npos) continue;
    ++twins;
    const auto twin = model_config(name);
    const auto plain = model_config(name.substr(0, cut));
    CHECK(twin.text.activation == Activation::kQuickGelu);
    CHECK(plain.text.activation == Activation::kGelu);
    if (const auto* vit = std::get_if<VisionTransformerOptions>(&twin.image))
      CHECK(vit->activation == Activation::kQuickGelu);
    CHECK(count(twin) == count(plain));
  }
  CHECK(twins == 7);
}

TEST_CASE("SigLIP differs in pixels, scale and text length", "[towers][cpu]") {
  const auto config = model_config("ViT-B-16-SigLIP");
  const auto model = make_dual_encoder(config, at::device(at::kCPU));
  CHECK(model->scale().item<double>() == Approx(10.0));
  CHECK(model->logit_bias.item<double>() == -10.0);
  CHECK(config.image_mean[0] == 0.5);
  CHECK(config.text.context_length == 64);
  CHECK(config.text.vocab_size == 32000);
  CHECK(config.text.reads_padding());
  CHECK(make_dual_encoder(model_config("TinyCLIP-ViT-8M-16-Text-3M"))->scale().item<double>() ==
        Approx(1.0 / 0.07));
}

TEST_CASE("A sigmoid head has scale 10 and bias -10 unless the model has its own",
          "[towers][cpu]") {
  const auto config = with_sigmoid_head(model_config("RN50"));
  CHECK(config.initial_logit_scale == Approx(std::log(10.0)));
  CHECK(config.initial_logit_bias == -10.0);
  auto own = model_config("RN50");
  own.initial_logit_scale = 1.0;
  own.initial_logit_bias = -3.0;
  CHECK(with_sigmoid_head(own).initial_logit_bias == -3.0);
  CHECK(with_sigmoid_head(own).initial_logit_scale == 1.0);
}

TEST_CASE("Models say how their images are resized", "[towers][cpu]") {
  CHECK(model_config("ViT-B-16-SigLIP").resize_mode == ResizeMode::kSquash);
  CHECK(model_config("ViT-B-32").resize_mode == ResizeMode::kShortest);
  CHECK(model_config("ViT-B-32").interpolation == Interpolation::kBicubic);
}
