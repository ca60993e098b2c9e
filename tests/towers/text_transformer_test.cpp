// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "nn/raises.hpp"
#include "support/tolerance.hpp"
#include "towers/naive_transformer.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

TEST_CASE("Trimmed texts have the features and gradients of padded ones", "[towers][cpu]") {
  torch::manual_seed(30);
  auto options = test::small_text();
  options.context_length = 77;
  TextTransformer text(options);
  const auto tokens = test::texts({9, 3, 20, 1}, 77);
  const auto weights = torch::randn({4, 20});
  const auto run = [&](const at::Tensor& input) {
    text->zero_grad();
    const auto y = text(input);
    (y * weights).sum().backward();
    return std::pair(y.detach(), text->positional_embedding.grad().clone());
  };
  const auto [padded, padded_gradient] = run(tokens);
  const auto [trimmed, trimmed_gradient] = run(tokens.narrow(1, 0, 21).contiguous());
  const auto [longer, longer_gradient] = run(tokens.narrow(1, 0, 40).contiguous());
  CHECK(test::close(trimmed, padded));
  CHECK(test::close(longer, padded));
  CHECK(test::close(trimmed_gradient, padded_gradient, 10));
  CHECK(trimmed_gradient.narrow(0, 21, 56).abs().max().item<double>() == 0.0);
}

TEST_CASE("A text's feature equals that of the whole tower at its end token", "[towers][cpu]") {
  torch::manual_seed(31);
  const auto tokens = test::texts({5, 15, 0});
  const auto rows = torch::arange(3) * 16 + tokens.argmax(1);
  for (const bool causal : {true, false}) {
    auto options = test::small_text();
    options.causal = causal;
    TextTransformer text(options, at::dtype(at::kDouble));
    auto x = at::embedding(text->token_weight, tokens) + text->positional_embedding;
    x = text->ln_final(text->transformer(x.flatten(0, 1), TokenGrid{.batch = 3, .columns = 16}));
    const auto expected = x.index_select(0, rows).matmul(text->text_projection);
    CHECK(test::close(text(tokens), expected, 10));
  }
}

TEST_CASE("Tokens after the end token do not change the feature", "[towers][cpu]") {
  torch::manual_seed(32);
  TextTransformer text(test::small_text());
  const auto tokens = test::texts({5, 9});
  auto other = tokens.clone();
  other.narrow(1, 10, 6).fill_(7);
  CHECK(test::close(text(other), text(tokens)));
}

TEST_CASE("A tower that pools the last position takes full texts only", "[towers][cpu]") {
  torch::manual_seed(33);
  auto options = test::small_text();
  options.causal = false;
  options.pool = TextPool::kLast;
  options.projection_bias = true;
  TextTransformer text(options, at::dtype(at::kDouble));
  const auto tokens = test::texts({5, 9});
  auto x = at::embedding(text->token_weight, tokens) + text->positional_embedding;
  x = text->ln_final(text->transformer(x.flatten(0, 1), TokenGrid{.batch = 2, .columns = 16}))
          .view({2, 16, 24});
  CHECK(test::close(text(tokens), text->projection(x.select(1, 15)), 10));
  CHECK(test::raises([&] { static_cast<void>(text(tokens.narrow(1, 0, 10))); },
                     {"10 tokens", "context_length (16)", "pad"}));
}

TEST_CASE("A text tower says what is wrong with its tokens", "[towers][cpu]") {
  TextTransformer text(test::small_text());
  const auto call = [&](const at::Tensor& tokens) {
    return [&text, tokens] { static_cast<void>(text(tokens)); };
  };
  const auto ids = [](std::vector<std::int64_t> values) {
    return torch::tensor(values, at::kLong).unsqueeze(0);
  };
  CHECK(test::raises(call(torch::zeros({2, 17}, at::kLong)), {"17 tokens", "context_length (16)"}));
  CHECK(test::raises(call(ids({3, 100})), {"from 3 to 100", "vocab_size is 100", "tokenizer"}));
  CHECK(test::raises(call(ids({-1, 5})), {"from -1 to 5"}));
  CHECK(test::raises(call(torch::zeros({2, 5}, at::kInt)), {"[2, 5]", "Int", "int64"}));
  CHECK(test::raises(call(torch::zeros({5}, at::kLong)), {"[5]", "[B, L]"}));
}

TEST_CASE("Weights of a text tower start as OpenCLIP's do", "[towers][cpu]") {
  torch::manual_seed(34);
  TextTransformer text(TextTransformerOptions{.vocab_size = 1000});
  const auto parameters = text->named_parameters();
  for (const auto& [name, std] : std::map<std::string, double>{
           {"token_embedding.weight", 0.02},
           {"positional_embedding", 0.01},
           {"transformer.resblocks.11.attn.in_proj_weight", 0.04419},
           {"transformer.resblocks.11.attn.out_proj.weight", 0.00902},
           {"transformer.resblocks.11.mlp.c_proj.weight", 0.00902},
           {"transformer.resblocks.11.mlp.c_fc.weight", 0.03125},
           {"text_projection", 0.04419},
           {"transformer.resblocks.11.mlp.c_fc.bias", 1 / std::sqrt(3 * 512.0)}}) {
    INFO(name);
    CHECK(parameters[name].std().item<double>() == Approx(std).epsilon(0.02));
  }
  CHECK(parameters["transformer.resblocks.0.attn.in_proj_bias"].abs().max().item<double>() == 0.0);
}

TEST_CASE("A text transformer whose layers differ equals naive loops", "[towers][cpu]") {
  torch::manual_seed(37);
  auto options = test::irregular_text();
  for (const bool no_heads_last : {false, true})
    for (const bool causal : {true, false}) {
      INFO("no heads in the last layer " << no_heads_last << ", causal " << causal);
      options.layer_heads.back() = no_heads_last ? 0 : 2;
      options.causal = causal;
      TextTransformer text(options, at::dtype(at::kDouble));
      test::randomize(*text);
      const std::vector<std::int64_t> ends = {3, 15, 9};
      const auto tokens = test::texts(ends);
      auto x = text->token_weight.index_select(0, tokens.flatten()).view({3, 16, 20}) +
               text->positional_embedding;
      x = test::naive_blocks(x, *text, 6, causal);
      x = test::naive_norm(x, text->ln_final->weight, text->ln_final->bias);
      std::vector<at::Tensor> pooled;
      for (std::size_t i = 0; i < ends.size(); ++i)
        pooled.push_back(x[static_cast<std::int64_t>(i)][ends[i]]);
      const auto expected = torch::stack(pooled).matmul(text->text_projection);
      CHECK(test::close(text(tokens), expected, 10));

      const auto weights = torch::randn({3, 20}, at::dtype(at::kDouble));
      const auto gradients = [&](const at::Tensor& features) {
        return torch::autograd::grad({(features * weights).sum()}, text->parameters(), {},
                                     /*retain_graph=*/true);
      };
      const auto oracle = gradients(expected), plain = gradients(text(tokens));
      text->checkpoint_activations(true);
      const auto replayed = gradients(text(tokens));
      for (std::size_t i = 0; i < oracle.size(); ++i) {
        INFO(text->named_parameters()[i].key());
        CHECK(test::close(plain[i], oracle[i], 1000));
        CHECK(at::equal(plain[i], replayed[i]));
      }
    }
}

TEST_CASE("The cost of a text whose layers differ is the sum of theirs", "[towers][cpu]") {
  const TextTransformer text(test::irregular_text(), at::device(at::kMeta));
  for (const std::int64_t tokens : {5, 16}) {
    // Width 20; heads 4, 0, 2 of 6 numbers, hidden widths 11, 0, 7.
    const auto attention = 36 * tokens * (4 * 20 + 2 * tokens), mlp = 18 * tokens * 2 * 20;
    CHECK(text->cost(tokens).macs == static_cast<double>(attention + mlp + 20 * 20));
    CHECK(text->cost(tokens).kept_elements ==
          static_cast<double>(tokens * ((2 + 1 + 2) * 20 + 4 * 36 + 18)));
  }
}
