// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/inherit_weights.hpp"

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/towers/make_dual_encoder.hpp"
#include "io/temporary_folder.hpp"
#include "io/torch_file.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

using Layers = std::vector<std::int64_t>;

VisionTransformerOptions& vit(ModelConfig& config) {
  return std::get<VisionTransformerOptions>(config.image);
}

/// A model with heads of 8 numbers.
ModelConfig small() {
  auto config = test::small_config("ViT-B-32");
  vit(config).heads = config.text.heads = 3;
  return config;
}

/// Twice the layers, and `factor` times the width, heads and MLP.
ModelConfig large(std::int64_t factor) {
  auto config = small();
  config.name = "large";
  for (const bool image : {true, false}) {
    auto& layers = image ? vit(config).layers : config.text.layers;
    auto& width = image ? vit(config).width : config.text.width;
    auto& heads = image ? vit(config).heads : config.text.heads;
    layers *= 2;
    width *= factor;
    heads *= factor;
  }
  return config;
}

/// The source of the small model's tensor `name`, by loops: the layer from the table, leading (or
/// trailing) units, and of the projection of queries, keys and values such heads of each.
at::Tensor by_loops(const TensorMap& source, std::string name, const at::Tensor& target,
                    const Layers& layers, bool trailing = false) {
  const std::string blocks = "resblocks.";
  if (const auto at = name.find(blocks); at != std::string::npos) {
    const auto begin = at + blocks.size(), end = name.find('.', begin);
    const auto layer = layers[std::stoul(name.substr(begin, end - begin))];
    name = name.substr(0, begin) + std::to_string(layer) + name.substr(end);
  }
  const auto from = source.at(name);
  auto result = torch::empty_like(target);
  const auto rows = target.dim() == 0 ? 1 : target.size(0);
  const bool packed = name.find("in_proj") != std::string::npos;
  for (std::int64_t i = 0; i < rows; ++i) {
    auto row = trailing && target.dim() > 0 ? from.size(0) - rows + i : i;
    if (packed)
      row = i / (rows / 3) * (from.size(0) / 3) + i % (rows / 3) +
            (trailing ? (from.size(0) - rows) / 3 : 0);
    if (target.dim() == 0)
      result.copy_(from.reshape({}));
    else if (target.dim() == 1)
      result[i] = from[row];
    else
      for (std::int64_t j = 0; j < target.size(1); ++j)
        result[i][j] = from[row][trailing ? from.size(1) - target.size(1) + j : j];
  }
  return result;
}

}  // namespace

TEST_CASE("The layers that are inherited follow the rule", "[compress][cpu]") {
  const auto tiny = [](std::int64_t from, std::int64_t to) {
    return inherited_layers(from, to, LayerRule::kTinyClip);
  };
  CHECK(tiny(12, 6) == Layers{0, 2, 4, 6, 8, 10});
  CHECK(tiny(12, 3) == Layers{0, 4, 8});
  CHECK(tiny(12, 9) == Layers{0, 1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(tiny(12, 10) == Layers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(tiny(12, 12).back() == 11);
  CHECK(tiny(5, 1) == Layers{0});
  CHECK(tiny(6, 2) == Layers{0, 3});  // stages of a ResNet
  CHECK(tiny(3, 2) == Layers{0, 1});
  const auto even = [](std::int64_t from, std::int64_t to) {
    return inherited_layers(from, to, LayerRule::kEven);
  };
  CHECK(even(12, 6) == Layers{0, 2, 4, 7, 9, 11});
  CHECK(even(12, 2) == Layers{0, 11});
  CHECK(even(12, 1) == Layers{0});
  CHECK(even(7, 7) == Layers{0, 1, 2, 3, 4, 5, 6});
  CHECK_THROWS_WITH(tiny(6, 12), Contains("12 layers cannot be inherited from 6"));
  CHECK_THROWS_WITH(tiny(6, 0), Contains("0 layers"));
}

TEST_CASE("A smaller transformer inherits layers, heads and leading units", "[compress][cpu]") {
  torch::manual_seed(3);
  const auto to = small(), from = large(2);
  const auto source = open_clip_state(make_dual_encoder(from), from);
  for (const bool listed : {false, true}) {
    auto model = make_dual_encoder(to);
    InheritOptions options;
    if (listed) options.image_layers = {5, 0, 3}, options.text_layers = {1, 2, 5};
    const auto report = inherit_weights(model, to, source, from, options);
    const auto layers = [&](const std::string& name) {
      if (!listed) return Layers{0, 2, 4};
      return name.starts_with("visual.") ? options.image_layers : options.text_layers;
    };
    for (const auto& [name, tensor] : open_clip_state(model, to)) {
      INFO(name);
      REQUIRE(tensor.equal(by_loops(source, name, tensor, layers(name))));
    }
    REQUIRE(report.size() == 2);
    CHECK_THAT(report[0],
               Contains(listed ? "image: layers 5, 0, 3 of 6" : "image: layers 0, 2, 4 of 6") &&
                   Contains("width 24 of 48, heads 3 of 6, MLP 96 of 192 from large"));
  }
}

TEST_CASE("A model that inherits everything is its source", "[compress][cpu]") {
  for (const auto* kind : {"ViT-B-32", "RN50"}) {
    torch::manual_seed(8);
    const auto config = test::small_config(kind);
    auto source = make_dual_encoder(config), model = make_dual_encoder(config);
    for (const auto rule : {UnitRule::kLeading, UnitRule::kMagnitude}) {
      static_cast<void>(inherit_weights(model, config, open_clip_state(source, config), config,
                                        {.layers = LayerRule::kEven, .units = rule}));
      const auto ours = open_clip_state(model, config);
      for (const auto& [name, tensor] : open_clip_state(source, config)) {
        INFO(kind << ' ' << name);
        REQUIRE(tensor.equal(ours.at(name)));
      }
    }
  }
}

TEST_CASE("Layers of different widths inherit their own heads and hidden units",
          "[compress][cpu]") {
  torch::manual_seed(10);
  const auto from = large(2);
  const auto source = open_clip_state(make_dual_encoder(from), from);
  auto to = small();
  vit(to).head_width = to.text.head_width = 8;
  vit(to).layer_heads = to.text.layer_heads = {2, 0, 5};
  vit(to).layer_hidden = to.text.layer_hidden = {30, 7, 0};
  auto model = make_dual_encoder(to);
  const auto report = inherit_weights(model, to, source, from);
  for (const auto& [name, tensor] : open_clip_state(model, to)) {
    INFO(name);
    REQUIRE(tensor.equal(by_loops(source, name, tensor, {0, 2, 4})));
  }
  CHECK_THAT(report[1], Contains("heads (2, 0, 5) of 6, MLP (30, 7, 0) of 192"));

  // The irregular model is now the source of a still smaller one.
  const auto middle = open_clip_state(model, to);
  for (const auto rule : {UnitRule::kLeading, UnitRule::kMagnitude}) {
    auto least = to;
    vit(least).layer_heads = least.text.layer_heads = {1, 0, 5};
    vit(least).layer_hidden = least.text.layer_hidden = {30, 3, 0};
    auto smaller = make_dual_encoder(least);
    static_cast<void>(inherit_weights(smaller, least, middle, to, {.units = rule}));
    const auto state = open_clip_state(smaller, least);
    for (const auto& [name, tensor] : state) {
      INFO(name);
      if (rule == UnitRule::kLeading)
        REQUIRE(tensor.equal(by_loops(middle, name, tensor, {0, 1, 2})));
      else if (tensor.sizes() == middle.at(name).sizes())
        REQUIRE(tensor.equal(middle.at(name)));
    }
    if (rule == UnitRule::kLeading) continue;
    // The head with more energy in its rows and columns is kept.
    const auto block = std::string("visual.transformer.resblocks.0.attn.");
    const auto in = middle.at(block + "in_proj_weight").view({3, 2, 8, 24}),
               out = middle.at(block + "out_proj.weight").view({24, 2, 8});
    const auto energy = in.to(at::kDouble).square().sum(at::IntArrayRef({0, 2, 3})) +
                        out.to(at::kDouble).square().sum(at::IntArrayRef({0, 2}));
    const auto head = energy[1].item<double>() > energy[0].item<double>() ? 1 : 0;
    CHECK(state.at(block + "in_proj_weight").view({3, 8, 24}).equal(in.select(1, head)));
  }
  auto wider = to;
  vit(wider).layer_heads[1] = 1;
  auto model_wider = make_dual_encoder(wider);
  CHECK_THROWS_WITH(inherit_weights(model_wider, wider, middle, to),
                    Contains("layer 1") && Contains("1 heads") && Contains("(0 heads, MLP 7)"));
}

TEST_CASE("Weights of torch.save give a model its start and its source", "[compress][cpu]") {
  torch::manual_seed(11);
  // Heads of 64 numbers, which is what shapes are taken to mean, and layers that differ.
  auto from = test::small_config("ViT-B-32");
  vit(from).head_width = from.text.head_width = 64;
  vit(from).layer_heads = from.text.layer_heads = {2, 0, 1};
  vit(from).layer_hidden = from.text.layer_hidden = {40, 30, 0};
  const auto source = open_clip_state(make_dual_encoder(from), from);
  std::vector<std::pair<std::string, std::string>> items;
  std::vector<std::string> storages;
  for (const auto& [name, tensor] : source) {
    const auto key = std::to_string(storages.size());
    items.emplace_back(
        "module." + name,
        test::pickle_tensor(test::pickle_storage("FloatStorage", key, tensor.numel()), 0,
                            tensor.sizes().vec(), tensor.strides().vec()));
    storages.emplace_back(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  const test::TemporaryFolder folder;
  const auto path = folder / "large.pt";
  std::ofstream(path, std::ios::binary)
      << test::torch_file(test::pickle_dict({{"state_dict", test::pickle_dict(items)}}), storages);

  const auto config = find_model_config(path.string());
  CHECK(config.name == "large");
  auto same = make_dual_encoder(config);
  CHECK(start_from(same, config, path, "").empty());
  for (const auto& [name, tensor] : open_clip_state(same, config)) {
    INFO(name);
    CHECK(tensor.equal(source.at(name)));
  }
  auto to = config;
  vit(to).layer_heads = to.text.layer_heads = {1, 0, 1};
  auto smaller = make_dual_encoder(to);
  const auto report = start_from(smaller, to, path, path.string());
  CHECK_THAT(report[0], Contains("heads (1, 0, 1) of (2, 0, 1)") && Contains("from large"));
  for (const auto& [name, tensor] : open_clip_state(smaller, to)) {
    INFO(name);
    CHECK(tensor.equal(by_loops(source, name, tensor, {0, 1, 2})));
  }
}

TEST_CASE("Units and layers that do nothing are left out without a change of the function",
          "[compress][cpu]") {
  torch::manual_seed(5);
  const auto to = small();
  auto original = make_dual_encoder(to);
  original->eval();
  // A deeper source with a wider MLP: the layers in between add nothing, and neither do the units
  // between those of the original.
  auto from = to;
  vit(from).layers = from.text.layers = 6;
  vit(from).mlp_ratio = from.text.mlp_ratio = 6.0;
  auto wide = make_dual_encoder(from);
  const auto state = open_clip_state(original, to);
  auto source = open_clip_state(wide, from);
  const auto hidden = from.text.hidden(), kept = to.text.hidden();
  const auto places = std::get<0>(torch::randperm(hidden).narrow(0, 0, kept).sort());
  for (auto& [name, tensor] : source) {
    auto theirs = name;
    const std::string blocks = "resblocks.";
    if (const auto at = name.find(blocks); at != std::string::npos) {
      const auto begin = at + blocks.size();
      const auto layer = std::stol(name.substr(begin, 1));
      if (layer % 2 == 1) {
        if (name.find("out_proj") != std::string::npos || name.find("c_proj") != std::string::npos)
          tensor = torch::zeros_like(tensor);
        continue;
      }
      theirs[begin] = static_cast<char>('0' + layer / 2);
    }
    const auto own = state.at(theirs);
    if (own.sizes() == tensor.sizes()) {
      tensor = own.clone();
      continue;
    }
    tensor = torch::zeros_like(tensor);
    const std::int64_t dim = name.find("c_proj") != std::string::npos ? 1 : 0;
    tensor.index_copy_(dim, places, own);
  }
  load_open_clip_state(wide, from, source);
  wide->eval();
  auto model = make_dual_encoder(to);
  static_cast<void>(inherit_weights(model, to, source, from, {.units = UnitRule::kMagnitude}));
  model->eval();
  const torch::NoGradGuard no_grad;
  const auto images = test::images(to, 4);
  const auto tokens = test::texts({3, 15, 7, 5});
  const auto expected = original->forward(images, tokens);
  for (const auto& e : {model->forward(images, tokens), wide->forward(images, tokens)}) {
    CHECK(test::close(e.x, expected.x, 4));
    CHECK(test::close(e.y, expected.y, 4));
  }
}

TEST_CASE("A smaller ResNet inherits blocks, channels and statistics", "[compress][cpu]") {
  torch::manual_seed(9);
  const auto config = test::small_config("RN50");
  auto to = config, from = config;
  from.name = "large";
  auto& larger = std::get<ModifiedResNetOptions>(from.image);
  larger.layers = {2, 4, 2, 3};
  larger.width *= 2;
  larger.heads *= 2;
  auto source_model = make_dual_encoder(from);
  for (auto& buffer : source_model->buffers())  // Statistics that can be told from each other.
    if (buffer.is_floating_point()) buffer.uniform_(0.5, 1.5);
  const auto source = open_clip_state(source_model, from);
  auto model = make_dual_encoder(to);
  const auto text_before = model->y_tower().ptr()->parameters()[0].clone();
  const auto report = inherit_weights(model, to, source, from, {.text = false});
  CHECK(model->y_tower().ptr()->parameters()[0].equal(text_before));
  REQUIRE(report.size() == 1);
  CHECK_THAT(report[0], Contains("blocks 0 of 2; 0, 2 of 4; 0 of 2; 0 of 3, width 8 of 16"));
  std::int64_t checked = 0;
  for (const auto& [name, tensor] : open_clip_state(model, to)) {
    if (!name.starts_with("visual.")) continue;
    auto theirs = name;
    if (name.starts_with("visual.layer2.1.")) theirs = "visual.layer2.2." + name.substr(16);
    auto expected = source.at(theirs);
    for (std::int64_t d = 0; d < expected.dim(); ++d)
      expected = expected.narrow(d, 0, tensor.size(d));
    INFO(name);
    REQUIRE(tensor.equal(expected));
    ++checked;
  }
  CHECK(checked > 50);
}

TEST_CASE("The units with the largest given importance are inherited", "[compress][cpu]") {
  torch::manual_seed(12);
  const auto to = small(), from = large(2);
  const auto source = open_clip_state(make_dual_encoder(from), from);
  // More important from unit to unit, so the trailing ones are chosen. The residual stream is
  // chosen by its sum over the inherited layers, of which one outweighs the others.
  UnitImportance importance;
  for (std::int64_t layer = 0; layer < 6; ++layer) {
    const double sign = layer == 2 ? 100.0 : -1.0;
    importance.width.push_back(torch::arange(48) * sign);
    importance.heads.push_back(torch::arange(6, at::kFloat));
    importance.hidden.push_back(torch::arange(192, at::kDouble));
  }
  auto model = make_dual_encoder(to);
  InheritOptions options{.units = UnitRule::kActivation,
                         .image_importance = importance,
                         .text_importance = importance};
  static_cast<void>(inherit_weights(model, to, source, from, options));
  for (const auto& [name, tensor] : open_clip_state(model, to)) {
    INFO(name);
    REQUIRE(tensor.equal(by_loops(source, name, tensor, {0, 2, 4}, /*trailing=*/true)));
  }
  options.text_importance.hidden.resize(3);
  CHECK_THROWS_WITH(inherit_weights(model, to, source, from, options),
                    Contains("importance of the hidden units of layer 4") && Contains("missing") &&
                        Contains("measure_importance"));
  options.image_importance.heads[2] = torch::ones({5});
  CHECK_THROWS_WITH(inherit_weights(model, to, source, from, options),
                    Contains("heads of layer 2 of 'visual.' is [5], expected [6]"));
  const auto resnet = test::small_config("RN50");
  auto resnet_model = make_dual_encoder(resnet);
  CHECK_THROWS_WITH(inherit_weights(resnet_model, resnet, open_clip_state(resnet_model, resnet),
                                    resnet, {.units = UnitRule::kActivation}),
                    Contains("kActivation is for transformers"));
}

TEST_CASE("Channels of a ResNet that do nothing are left out by magnitude", "[compress][cpu]") {
  torch::manual_seed(13);
  const auto to = test::small_config("RN50");
  auto from = to;
  auto& larger = std::get<ModifiedResNetOptions>(from.image);
  larger.width *= 2;
  larger.heads *= 2;
  auto original = make_dual_encoder(to);
  {
    const torch::NoGradGuard no_grad;
    for (auto& buffer : original->buffers())
      if (buffer.is_floating_point()) buffer.uniform_(0.5, 1.5);
    for (auto& item : original->named_parameters())
      if (item.key().find("bn3.weight") != std::string::npos) item.value().uniform_(0.5, 1.5);
  }
  const auto state = open_clip_state(original, to);
  auto wide = make_dual_encoder(from);
  auto source = open_clip_state(wide, from);
  // Scatters the channels of the original among channels whose norms multiply by 0. Their
  // convolutions have large weights, which must not mislead. Every set of channels has its own
  // places; sets are told apart by the tensors that share them.
  std::map<std::string, at::Tensor> places;
  const auto set_of = [](const std::string& name, std::int64_t d) -> std::string {
    const auto own = name.substr(7);
    if (own.starts_with("attnpool.")) {
      if (own.find("positional") != std::string::npos) return d == 1 ? "stage 4" : "";
      if (own.find("c_proj") != std::string::npos) return d == 1 ? "heads" : "";
      return d == 0 ? "heads" : "stage 4";
    }
    if (!own.starts_with("layer")) {
      const auto i = own[own.find_first_of("123")] - '0';
      if (d > 1 || i - d == 0) return "";
      return "stem " + std::to_string(i - d);
    }
    const auto stage = own[5] - '0';
    const auto block = own.substr(0, own.find('.', 7));
    const auto input = !block.ends_with(".0") ? "stage " + std::to_string(stage)
                       : stage > 1            ? "stage " + std::to_string(stage - 1)
                                              : std::string("stem 3");
    const auto part = own.substr(block.size() + 1);
    const auto is = [&](const char* number) {
      return part.starts_with(std::string("conv") + number) ||
             part.starts_with(std::string("bn") + number);
    };
    if (d > 1) return "";
    if (is("1")) return d == 0 ? block + " first" : input;
    if (is("2")) return d == 0 ? block + " second" : block + " first";
    if (is("3")) return d == 0 ? "stage " + std::to_string(stage) : block + " second";
    return d == 0 ? "stage " + std::to_string(stage) : input;
  };
  for (auto& [name, tensor] : source) {
    if (!name.starts_with("visual.")) {
      tensor = state.at(name).clone();
      continue;
    }
    const auto own = state.at(name);
    if (tensor.dim() == 0) continue;
    auto content = own.clone();
    const bool convolution = tensor.dim() == 4;
    for (std::int64_t d = 0; d < tensor.dim(); ++d) {
      const auto set = set_of(name, d);
      if (set.empty()) continue;
      const auto all = tensor.size(d), kept = own.size(d);
      if (!places.contains(set)) {
        if (set == "heads") {
          const auto width = all / larger.heads;
          const auto heads =
              std::get<0>(torch::randperm(larger.heads).narrow(0, 0, kept / width).sort());
          places[set] = (heads.unsqueeze(1) * width + torch::arange(width)).flatten();
        } else {
          places[set] = std::get<0>(torch::randperm(all).narrow(0, 0, kept).sort());
        }
      }
      REQUIRE(places.at(set).size(0) == kept);
      auto shape = content.sizes().vec();
      shape[static_cast<std::size_t>(d)] = all;
      // Rows of dead channels are large where a norm of scale 0 follows; columns that read dead
      // channels are 0, as a channel that is read matters.
      auto spread = convolution && d == 0 ? torch::randn(shape) : torch::zeros(shape);
      if (name.find("running_var") != std::string::npos) spread = torch::ones(shape);
      content = spread.index_copy(d, places.at(set), content);
    }
    if (convolution && !set_of(name, 1).empty()) {
      // Nobody reads dead channels.
      auto mask = torch::zeros({content.size(1)}).index_fill(0, places.at(set_of(name, 1)), 1.0);
      content = content * mask.view({1, -1, 1, 1});
    }
    tensor = content;
  }
  auto model = make_dual_encoder(to);
  const auto report =
      inherit_weights(model, to, source, from, {.text = false, .units = UnitRule::kMagnitude});
  CHECK_THAT(report[0], Contains("width 8 of 16"));
  std::int64_t checked = 0;
  for (const auto& [name, tensor] : open_clip_state(model, to)) {
    if (!name.starts_with("visual.") || tensor.dim() == 0) continue;
    INFO(name);
    REQUIRE(tensor.equal(state.at(name)));
    ++checked;
  }
  CHECK(checked > 50);
  // The wide model is the original, too, so the channels that were left out did nothing.
  load_open_clip_state(wide, from, source);
  wide->eval();
  original->eval();
  const auto images = test::images(to, 2);
  const torch::NoGradGuard no_grad;
  CHECK(test::close(wide->encode_image(images), original->encode_image(images), 20));
}

TEST_CASE("Inheritance that makes no sense is refused before anything changes", "[compress][cpu]") {
  const auto to = small(), from = large(2);
  const auto source = open_clip_state(make_dual_encoder(from), from);
  auto model = make_dual_encoder(to);
  const auto before = open_clip_state(model, to);
  const auto refuse = [&](const ModelConfig& ours, const ModelConfig& theirs,
                          const InheritOptions& options, const char* why) {
    CHECK_THROWS_WITH(inherit_weights(model, ours, source, theirs, options), Contains(why));
  };
  auto other = from;
  vit(other).activation = Activation::kQuickGelu;
  refuse(to, other, {}, "different activations");
  other = from;
  vit(other).patch_size = 16;
  refuse(to, other, {}, "choose the same patch and image size");
  other = from;
  vit(other).heads = 3;
  refuse(to, other, {}, "heads are inherited whole");
  other = from;
  other.text.vocab_size = 50;
  refuse(to, other, {}, "vocabularies");
  refuse(to, from, {.image_layers = {0, 1}},
         "2 layers are listed for the image tower, which has 3");
  refuse(to, from, {.text_layers = {0, 1, 9}}, "layer 9");
  refuse(to, test::small_config("RN50"), {}, "of different kinds");
  refuse(to, test::small_config("ViT-B-16-SigLIP"), {}, "own layout");
  const auto after = open_clip_state(model, to);
  for (const auto& [name, tensor] : before) CHECK(tensor.equal(after.at(name)));
  // The other way around the model is larger than its source.
  auto bigger = make_dual_encoder(from);
  CHECK_THROWS_WITH(inherit_weights(bigger, from, before, to),
                    Contains("6 layers cannot be inherited from 3"));
}

TEST_CASE("Rules for units have names", "[compress][cpu]") {
  CHECK(unit_rule("leading") == UnitRule::kLeading);
  CHECK(unit_rule("magnitude") == UnitRule::kMagnitude);
  CHECK(unit_rule("activation") == UnitRule::kActivation);
  CHECK_THROWS_WITH(unit_rule("random"), Contains("no rule 'random'"));
}
