// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/npz_state.hpp"

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/io/read_npz.hpp"
#include "contrapunto/io/write_npz.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// A tower of vision_transformer, small.
VisionTransformerOptions plain() {
  auto o = test::small_vit();
  o.pre_norm = false;
  o.patch_bias = true;
  o.projection = false;
  o.layer_norm_eps = 1e-6;
  return o;
}

VisionTransformerOptions with_map() {
  auto o = plain();
  o.class_token = false;
  o.pool = ImagePool::kAttention;
  o.timm_names = true;
  return o;
}

VisionTransformerOptions with_class_apart() {
  auto o = plain();
  o.prefix_positions = false;
  return o;
}

VisionTransformerOptions with_fixed_positions() {
  auto o = plain();
  o.class_token = false;
  o.pool = ImagePool::kAverage;
  o.positions = ImagePositions::kSinCos;
  return o;
}

VisionTransformerOptions with_projection() {
  auto o = plain();
  o.projection = true;
  o.projection_bias = true;
  return o;
}

/// A tower in which every tensor matters, also those that begin as 0 or 1.
AnyTower tower_of(const VisionTransformerOptions& options, std::int64_t seed) {
  torch::manual_seed(seed);
  AnyTower tower = VisionTransformer(options);
  const at::NoGradGuard no_grad;
  for (auto& p : tower->parameters()) p.add_(0.1 * torch::randn_like(p));
  return tower;
}

bool same_weights(const AnyTower& a, const AnyTower& b) {
  const auto other = b->named_parameters();
  for (const auto& item : a->named_parameters())
    if (!at::equal(item.value(), other[item.key()])) return false;
  return true;
}

/// `state` with the names that `rename` returns.
TensorMap renamed(const TensorMap& state,
                  const std::function<std::string(const std::string&)>& rename) {
  TensorMap result;
  for (const auto& [name, tensor] : state) result.emplace(rename(name), tensor);
  return result;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

/// The names of big_vision for a state with those of vision_transformer.
std::string big_vision_name(std::string name) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"Transformer/posembed_input/pos_embedding", "pos_embedding"},
           {"LayerNorm_2", "LayerNorm_1"},
           {"MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"},
           {"MlpBlock_3", "MlpBlock_0"}})
    name = replaced(name, from, to);
  return name;
}

/// Output of the multi-head attention of a file for one sequence [L, width], head by head.
at::Tensor naive_attention(const TensorMap& state, const std::string& name, const at::Tensor& x) {
  const auto part = [&](const std::string& which, std::int64_t head) {
    const auto kernel = state.at(name + which + "/kernel").to(at::kDouble).select(1, head);
    return x.mm(kernel) + state.at(name + which + "/bias").to(at::kDouble)[head];
  };
  auto result = state.at(name + "out/bias").to(at::kDouble).expand({x.size(0), -1}).clone();
  const auto& out = state.at(name + "out/kernel");
  for (std::int64_t head = 0; head < out.size(0); ++head) {
    const auto q = part("query", head), k = part("key", head), v = part("value", head);
    const auto weights = (q.mm(k.t()) / std::sqrt(static_cast<double>(q.size(1)))).softmax(1);
    result += weights.mm(v).mm(out.to(at::kDouble)[head]);
  }
  return result;
}

/// The class feature of a file of vision_transformer for `image` [3, side, side], in float64.
at::Tensor naive_feature(const TensorMap& state, const at::Tensor& image, std::int64_t layers) {
  const auto get = [&](const std::string& name) { return state.at(name).to(at::kDouble); };
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    const auto centered = x - x.mean(1, true);
    const auto variance = centered.square().mean(1, true);
    return centered / (variance + 1e-6).sqrt() * get(name + "/scale") + get(name + "/bias");
  };
  const auto dense = [&](const at::Tensor& x, const std::string& name) {
    return x.mm(get(name + "/kernel")) + get(name + "/bias");
  };
  const auto kernel = get("embedding/kernel");  // [rows, columns, 3, width]
  const auto side = kernel.size(0), grid = image.size(1) / side;
  std::vector<at::Tensor> tokens = {get("cls")[0]};
  for (std::int64_t i = 0; i < grid * grid; ++i) {
    const auto patch = image.to(at::kDouble)
                           .narrow(1, i / grid * side, side)
                           .narrow(2, i % grid * side, side)
                           .permute({1, 2, 0})
                           .unsqueeze(3);
    tokens.push_back(
        ((patch * kernel).sum(at::IntArrayRef({0, 1, 2})) + get("embedding/bias")).unsqueeze(0));
  }
  auto x = at::cat(tokens) + get("Transformer/posembed_input/pos_embedding")[0];
  for (std::int64_t i = 0; i < layers; ++i) {
    const auto block = "Transformer/encoderblock_" + std::to_string(i) + "/";
    x = x + naive_attention(state, block + "MultiHeadDotProductAttention_1/",
                            norm(x, block + "LayerNorm_0"));
    const auto hidden = dense(norm(x, block + "LayerNorm_2"), block + "MlpBlock_3/Dense_0");
    x = x + dense(at::gelu(hidden), block + "MlpBlock_3/Dense_1");
  }
  return norm(x, "Transformer/encoder_norm")[0];
}

}  // namespace

TEST_CASE("The arrays of a tower compute its features as Flax does", "[towers][cpu]") {
  const auto o = plain();
  const auto tower = tower_of(o, 1);
  tower->eval();
  const auto state = npz_state(tower);
  const auto images = torch::randn({2, 3, o.image_size, o.image_size});
  const auto features = tower(images).detach().to(at::kDouble);
  for (std::int64_t i = 0; i < 2; ++i) {
    const auto wanted = naive_feature(state, images[i], o.layers);
    CHECK((features[i] - wanted).abs().max().item<double>() <
          1e-5 * wanted.abs().max().item<double>());
  }
}

TEST_CASE("Weights come back bit for bit through a file of arrays", "[towers][cpu]") {
  for (const auto& [options, name] : std::vector<std::pair<VisionTransformerOptions, std::string>>{
           {plain(), "Transformer/encoderblock_2/MultiHeadDotProductAttention_1/out/kernel"},
           {with_map(), "params/MAPHead_0/MultiHeadDotProductAttention_0/key/kernel"},
           {with_class_apart(), "params/pos_embedding"},
           {with_fixed_positions(), "params/Transformer/encoderblock_0/LayerNorm_1/scale"},
           {with_projection(), "head/kernel"}}) {
    INFO(name);
    const auto tower = tower_of(options, 1);
    const test::TemporaryFolder folder;
    write_npz(folder / "a.npz", npz_state(tower));
    const auto state = read_npz(folder / "a.npz");
    CHECK(state.contains(name));
    auto other = tower_of(options, 2);
    REQUIRE_FALSE(same_weights(tower, other));
    load_npz_state(other, state);
    CHECK(same_weights(tower, other));
  }
}

TEST_CASE("The guide's way to write a file works", "[towers][cpu]") {
  namespace cp = contrapunto;
  const test::TemporaryFolder folder;
  const auto path = folder / "tower.npz";
  // snippet: write_npz
  cp::AnyTower tower = cp::make_image_tower(cp::model_config("vit_tiny_patch16_224"));
  cp::write_npz(path, cp::npz_state(tower));
  cp::load_npz_state(tower, cp::read_npz(path));
  // snippet end
  CHECK(read_npz(path).size() == npz_state(tower).size());
}

TEST_CASE("Prefixes, stacked layers and the names of big_vision are read", "[towers][cpu]") {
  const auto o = plain();
  const auto tower = tower_of(o, 1);
  const auto state = npz_state(tower);
  const auto loads = [&](const TensorMap& file) {
    auto other = tower_of(o, 2);
    load_npz_state(other, file);
    return same_weights(tower, other);
  };
  CHECK(loads(state));
  const auto big_vision = renamed(state, big_vision_name);
  CHECK(loads(big_vision));
  for (const std::string prefix :
       {"params/", "opt/target/", "img/", "params/img/", "opt/target/img/"}) {
    INFO(prefix);
    auto file = renamed(big_vision, [&](const std::string& name) { return prefix + name; });
    file["opt/state/step"] = torch::tensor(7);
    if (prefix.find("img") != std::string::npos) {
      const auto model = prefix.substr(0, prefix.size() - 4);
      file[model + "txt/Embed_0/embedding"] = torch::ones({3, 2});
      file[model + "t"] = torch::ones({1});
    }
    CHECK(loads(file));
  }
  TensorMap stacked;
  for (const auto& [name, tensor] : big_vision) {
    const std::string layer = "Transformer/encoderblock_";
    if (!name.starts_with(layer)) {
      stacked.emplace(name, tensor);
      continue;
    }
    const auto rest = name.substr(layer.size() + 2);
    std::vector<at::Tensor> layers;
    for (std::int64_t i = 0; i < o.layers; ++i)
      layers.push_back(big_vision.at(layer + std::to_string(i) + "/" + rest));
    stacked["Transformer/encoderblock/" + rest] = at::stack(layers);
  }
  CHECK(stacked.size() < big_vision.size());
  CHECK(loads(stacked));
  TensorMap half;
  for (const auto& [name, tensor] : state) half.emplace(name, tensor.to(at::kBFloat16));
  auto other = tower_of(o, 2);
  load_npz_state(other, half);
  CHECK(at::equal(other->named_parameters()["ln_post.weight"],
                  half.at("Transformer/encoder_norm/scale").to(at::kFloat)));
}

TEST_CASE("The classifier of a file is ignored unless the tower has a head", "[towers][cpu]") {
  const auto o = plain();
  const auto tower = tower_of(o, 1);
  auto state = npz_state(tower);
  state["head/kernel"] = torch::ones({o.width, 3});
  state["head/bias"] = torch::ones({3});
  state["pre_logits/kernel"] = torch::ones({o.width, o.width});
  state["pre_logits/bias"] = torch::ones({o.width});
  auto other = tower_of(o, 2);
  load_npz_state(other, state);
  CHECK(same_weights(tower, other));
  auto with_head = tower_of(with_projection(), 2);
  CHECK_THROWS_WITH(load_npz_state(with_head, state), Contains("other shape: head.weight") &&
                                                          Contains("unexpected: pre_logits/bias"));
}

TEST_CASE("Positions of a file are resized to the images", "[towers][cpu]") {
  auto o = plain();
  const auto small = tower_of(o, 1);
  o.image_size *= 2;
  auto large = tower_of(o, 2);
  load_npz_state(large, npz_state(small));
  const auto& from = small->named_parameters()["positional_embedding"];
  const auto& to = large->named_parameters()["positional_embedding"];
  CHECK(at::equal(to[0], from[0]));
  CHECK(at::equal(to, resize_grid_positions(from, 1, o.grid())));
}

TEST_CASE("Weights of another model are refused before anything changes", "[towers][cpu]") {
  const auto o = plain();
  const auto state = npz_state(tower_of(o, 1));
  const auto before = tower_of(o, 2);
  const auto fails = [&](const TensorMap& file, const auto& matcher) {
    auto tower = tower_of(o, 2);
    CHECK_THROWS_WITH(load_npz_state(tower, file, "my model"), matcher);
    CHECK(same_weights(tower, before));
  };
  auto changed = state;
  changed.erase("Transformer/encoderblock_1/MultiHeadDotProductAttention_1/key/kernel");
  fails(
      changed,
      Contains("'my model'") && Contains("missing: transformer.resblocks.1.attn.in_proj_weight") &&
          Contains("unexpected: Transformer/encoderblock_1/MultiHeadDotProductAttention_1/query"));
  changed = state;
  changed["Transformer/encoderblock_3/LayerNorm_0/scale"] = torch::ones({o.width});
  fails(changed, Contains("unexpected: Transformer/encoderblock_3/LayerNorm_0/scale"));
  changed = state;
  changed["embedding/kernel"] = torch::ones({4, 4, 3, o.width});
  fails(changed, Contains("other shape: conv1.weight"));
  changed = state;
  changed["embedding/kernel"] = torch::ones({4 * 4 * 3, o.width});
  fails(changed, Contains("other shape: conv1.weight"));
  auto wide = o;
  wide.heads = 4;
  fails(npz_state(tower_of(wide, 1)), Contains("has 4 heads, the tower has 2"));
  fails({{"conv_root/kernel", torch::ones({1})}}, Contains("no embedding/kernel"));
}

TEST_CASE("Towers with parts that big_vision does not have are refused", "[towers][cpu]") {
  const auto refused = [](const std::function<void(VisionTransformerOptions&)>& change,
                          const std::string& word) {
    auto o = plain();
    change(o);
    auto tower = tower_of(o, 1);
    CHECK_THROWS_WITH(npz_state(tower), Contains(word));
    CHECK_THROWS_WITH(load_npz_state(tower, {}), Contains(word));
  };
  refused([](auto& o) { o.stem = ImageStem::kConvolutions; }, "convolutions");
  refused([](auto& o) { o.patch_bias = false; }, "without a bias");
  refused([](auto& o) { o.pre_norm = true; }, "pre_norm");
  refused([](auto& o) { o.registers = 2; }, "registers");
  refused([](auto& o) { o.positions = ImagePositions::kNone; }, "no positions");
  refused([](auto& o) { o.rotary.kind = RotaryKind::kAxial; }, "rotary");
  refused([](auto& o) { o.relative_bias = RelativeBiasKind::kTable; }, "relative");
  refused([](auto& o) { o.qkv_bias = AttentionBias::kNone; }, "qkv_bias");
  refused([](auto& o) { o.qk_norm = true; }, "norms inside");
  refused([](auto& o) { o.attention = {{AttentionPattern::kWindow, 2, false}}; }, "not global");
  refused([](auto& o) { o.mlp = MlpKind::kSwiGlu; }, "gated");
  refused([](auto& o) { o.block_order = BlockOrder::kParallel; }, "order");
  refused([](auto& o) { o.layer_scale = 0.1; }, "LayerScale");
  refused([](auto& o) { o.activation = Activation::kQuickGelu; }, "GELU");
  refused([](auto& o) { o.layer_heads = {1, 2, 3}, o.head_width = 12; }, "layers that differ");
  refused([](auto& o) { o.pool = ImagePool::kSequence; }, "sequence pool");
  refused([](auto& o) { o.pool = ImagePool::kAverage, o.norm_after_pool = true; },
          "after the pool");
  refused([](auto& o) { o.projection = true; }, "projection without a bias");
  AnyTower resnet = ModifiedResNet(test::small_resnet());
  CHECK_THROWS_WITH(npz_state(resnet), Contains("no VisionTransformer"));
}
