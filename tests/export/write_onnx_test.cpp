// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/export/write_onnx.hpp"

#include <protozero/pbf_reader.hpp>

#include "contrapunto/export/graph_agreement.hpp"
#include "contrapunto/export/input_metadata.hpp"
#include "contrapunto/export/model_graph.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "io/temporary_folder.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

struct WrittenTensor {
  std::vector<std::int64_t> sizes;
  int dtype = 0;
  std::string bytes;
};

/// What this file needs of a ModelProto.
struct WrittenModel {
  std::int64_t version = 0, opset = 0;
  std::map<std::string, std::string> metadata;
  std::map<std::string, WrittenTensor> tensors;
  std::vector<std::string> operators;
};

WrittenModel read_model(const std::filesystem::path& path) {
  WrittenModel model;
  const auto file = read_file(path);
  for (protozero::pbf_reader m(file); m.next();) {
    if (m.tag() == 1) {
      model.version = m.get_int64();
    } else if (m.tag() == 8) {
      auto opset = m.get_message();
      REQUIRE(opset.next(2));
      model.opset = opset.get_int64();
    } else if (m.tag() == 14) {
      auto entry = m.get_message();
      REQUIRE(entry.next(1));
      const auto key = entry.get_string();
      REQUIRE(entry.next(2));
      model.metadata[key] = entry.get_string();
    } else if (m.tag() == 7) {
      for (auto graph = m.get_message(); graph.next();) {
        if (graph.tag() == 1) {
          auto node = graph.get_message();
          REQUIRE(node.next(4));
          model.operators.push_back(node.get_string());
        } else if (graph.tag() == 5) {
          WrittenTensor tensor;
          std::string name, location;
          std::int64_t offset = 0, length = 0;
          for (auto t = graph.get_message(); t.next();) {
            if (t.tag() == 1) {
              for (const auto size : t.get_packed_int64()) tensor.sizes.push_back(size);
            } else if (t.tag() == 2) {
              tensor.dtype = t.get_int32();
            } else if (t.tag() == 8) {
              name = t.get_string();
            } else if (t.tag() == 9) {
              tensor.bytes = t.get_string();
            } else if (t.tag() == 13) {
              auto entry = t.get_message();
              REQUIRE(entry.next(1));
              const auto key = entry.get_string();
              REQUIRE(entry.next(2));
              const auto value = entry.get_string();
              if (key == "location") location = value;
              if (key == "offset") offset = std::stoll(value);
              if (key == "length") length = std::stoll(value);
            } else {
              t.skip();
            }
          }
          if (!location.empty()) {
            CHECK(offset % 4096 == 0);
            tensor.bytes =
                read_file(path.parent_path() / location)
                    .substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
          }
          CHECK(model.tensors.emplace(name, tensor).second);
        } else {
          graph.skip();
        }
      }
    } else {
      m.skip();
    }
  }
  return model;
}

std::string bytes_of(const at::Tensor& tensor) {
  const auto numbers = tensor.detach().contiguous();
  return {static_cast<const char*>(numbers.const_data_ptr()),
          static_cast<std::size_t>(numbers.nbytes())};
}

}  // namespace

TEST_CASE("ONNX files hold the weights, within and beside the model", "[export][cpu]") {
  torch::manual_seed(4);
  const test::TemporaryFolder folder;
  const auto config = test::small_config("ViT-B-32");
  auto model = make_dual_encoder(config);
  model->eval();
  const auto graph = model_graph(*model, config, ModelGraphPart::kBoth);
  CHECK(graph_agreement(graph, config, model->visual(), model->text()) > 1.0 - 1e-6);

  const auto inside = folder.path() / "inside.onnx", beside = folder.path() / "beside.onnx";
  write_onnx(inside, graph, {.metadata = input_metadata(config)});
  write_onnx(beside, graph, {.opset = 23, .external_data = true, .reference = false});
  CHECK_FALSE(std::filesystem::exists(folder.path() / "inside.onnx.data"));
  const auto a = read_model(inside), b = read_model(beside);
  CHECK((a.version == 8 && a.opset == 17));
  CHECK((b.version == 11 && b.opset == 23));
  const auto count = [](const WrittenModel& m, const char* op) {
    return std::count(m.operators.begin(), m.operators.end(), op);
  };
  CHECK((count(a, "Attention") == 0 && count(b, "Attention") == 6));
  CHECK((count(a, "Gelu") == 0 && count(b, "Gelu") == 6));
  const auto table = bytes_of(model->text()->named_parameters()["token_embedding.weight"]);
  const auto matrix = bytes_of(model->visual()->named_parameters()["proj"]);
  for (const auto* m : {&a, &b}) {
    CHECK(m->tensors.at("text.token_embedding.weight").bytes == table);
    CHECK(m->tensors.at("text.token_embedding.weight").sizes == std::vector<std::int64_t>{100, 24});
    CHECK(m->tensors.at("visual.proj").bytes == matrix);
  }
  CHECK(b.metadata.empty());
  CHECK(a.metadata.at("contrapunto.model") == "ViT-B-32");
  CHECK(a.metadata.at("contrapunto.context_length") == "16");
  CHECK(a.metadata.at("contrapunto.preprocess").find("bicubic") != std::string::npos);
  // The numbers of the reference are those of the model, up to their nine digits and rounding.
  std::istringstream text(a.metadata.at("contrapunto.reference.image_features"));
  const auto images = reference_inputs(graph).at("images");
  CHECK(images[0][0][0][3].item<double>() == 3 * 7919 % 1024 / 512.0 - 1.0);
  const at::NoGradGuard no_grad;
  const auto features = model->encode_image(images)[0];
  std::int64_t place = 0;
  for (double number = 0.0; text >> number; ++place)
    CHECK(std::abs(number - features[place].item<double>()) < 1e-5);
  CHECK(place == config.embed_dim);

  // 16-bit weights are half as long.
  const auto half = folder.path() / "half.onnx";
  write_onnx(half, model_graph(*model, config, ModelGraphPart::kImage, {.weight_dtype = at::kHalf}),
             {.reference = false});
  const auto h = read_model(half);
  CHECK(h.tensors.at("visual.proj").dtype == 10);
  CHECK(h.tensors.at("visual.proj").bytes ==
        bytes_of(model->visual()->named_parameters()["proj"].to(at::kHalf)));
  CHECK(count(h, "Cast") > 0);
}

TEST_CASE("ONNX files that cannot be written leave older ones as they are", "[export][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "model.onnx";
  GraphBuilder g;
  const auto x = g.input("x", at::kFloat, {-1, 2});
  g.output("y", g.add(x, g.weight("w", at::arange(2, at::kFloat))));
  write_onnx(path, g.graph());
  const auto before = read_file(path);
  CHECK(read_model(path).metadata.at("contrapunto.reference.y") == "-1 1.46679688");
  CHECK(test::raises([&] { write_onnx(path, g.graph(), {.opset = 16}); }, {"16", "17"}));
  const auto wide = g.constant("wide", at::ones({2}, at::kLong));
  g.output("z", g.cast(wide, at::kDouble));
  CHECK(test::raises([&] { write_onnx(path, g.graph()); }, {"Double"}));
  CHECK(read_file(path) == before);
  GraphBuilder other;
  other.output("y", other.relu(other.input("x", at::kFloat, {-1, 2})));
  const auto missing = folder.path() / "none" / "m.onnx";
  CHECK(
      test::raises([&] { write_onnx(missing, other.graph()); }, {missing.c_str(), "No such file"}));
}
