// SPDX-License-Identifier: CC0-1.0
// Finds photographs by what they show, and says what one photograph shows, with a trained model.
//
//   search_images --weights clip --images ~/Pictures --query "a dog on a beach"
//   search_images --weights clip --classify photo.jpg --labels "cat,dog,car"
//
// The folder clip is that of a training run, or comes from Hugging Face's hub (605 MB):
//   hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K open_clip_model.safetensors
//     open_clip_config.json merges.txt --local-dir clip
// The first search embeds all images and keeps their features in an index; later ones embed only
// what is new. docs/guides/search.md says what to expect.
#include <torch/cuda.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <filesystem>
#include <iostream>
#include <sstream>

namespace cp = contrapunto;
namespace fs = std::filesystem;

namespace {

// ==== Settings =================================================================================
struct Settings {
  std::string weights, model, vocabulary, images, index, classify, labels;
  std::vector<std::string> query, templates = cp::plain_prompt();
  std::int64_t top = 5, batch_size = 32, threads = 2;
};

cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Model");
  t.add("weights", s.weights, "folder of OpenCLIP, transformers or a run; or a file of weights");
  t.add("model", s.model, "a name, a .json file or a folder; empty: as the weights say");
  t.add("vocabulary", s.vocabulary,
        "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: merges.txt of the weights, or else bytes");
  t.section("Search");
  t.add("images", s.images, "folder with jpg, jpeg, png and webp files at any depth");
  t.add("query", s.query, "what to find; empty: each line of the standard input");
  t.add("top", s.top, "images in an answer").check(cp::at_least(1));
  t.add("index", s.index, "file of features; empty: search_index.safetensors in the folder");
  t.add("batch-size", s.batch_size, "images in one forward").check(cp::at_least(1));
  t.add("threads", s.threads, "decoding threads").check(cp::at_least(1));
  t.section("Classification");
  t.add("classify", s.classify, "image whose class is wanted");
  t.add("labels", s.labels, "classes with commas between them, or a file with one a line");
  t.add("templates", s.templates, "of the texts about a class; {} is its name");
  return t;
}

// ==== Model ====================================================================================
struct Clip : cp::PretrainedModel {
  at::Device device = torch::cuda::is_available() ? at::kCUDA : at::kCPU;
  cp::ImageTransform transform;

  explicit Clip(const Settings& s)
      : PretrainedModel(cp::load_pretrained(s.weights, s.model, s.vocabulary)),
        transform(cp::training_transform(config, {}).for_evaluation()) {
    model->to(device);
  }

  /// Unit rows on the CPU, of bytes [B, 3, S, S] and of tokens [B, L].
  [[nodiscard]] at::Tensor encode_images(const at::Tensor& bytes) const {
    return model->encode_image(cp::image_normalizer(config)(bytes.to(device))).cpu();
  }
  [[nodiscard]] at::Tensor encode_tokens(const at::Tensor& tokens) const {
    return model->encode_text(tokens.to(device)).cpu();
  }
};

// ==== Index ====================================================================================
constexpr std::int64_t kMaxPixels = 400'000'000;  // Photographs may exceed the loader's default.

/// The key of an image in the index: its name, size and time of change. As JSON, any name is UTF-8.
std::string key_of(const fs::path& folder, const std::string& name) {
  using nlohmann::json;
  return json(name).dump(-1, ' ', false, json::error_handler_t::replace) + " " +
         std::to_string(fs::file_size(folder / name)) + " " +
         std::to_string(fs::last_write_time(folder / name).time_since_epoch().count());
}

/// Returns the features [D] of all images that can be read, by name. The index is a file with the
/// features of each key, and those of a fixed picture, by which it recognizes the model.
cp::TensorMap embed_images(const Clip& clip, const Settings& s) {
  fs::path path = s.index;
  if (path.empty()) path = fs::path(s.images) / "search_index.safetensors";
  const cp::ImageFileSource all(s.images);
  const std::int64_t side = clip.config.image_size();
  const at::Tensor picture = torch::arange(3 * side * side).remainder(251).to(torch::kByte);
  const at::Tensor probe = clip.encode_images(picture.view({1, 3, side, side}))[0];
  cp::TensorMap features, known, index{{"probe", probe}};
  if (fs::exists(path)) known = cp::read_safetensors(path);
  TORCH_CHECK(
      known.empty() || (known.contains("probe") && known["probe"].sizes() == probe.sizes() &&
                        (known["probe"] - probe).norm().item<double>() < 1e-2),
      "'", path.string(), "' is the index of another model; give another --index, or delete it");
  std::vector<std::string> fresh;
  std::map<std::string, std::string> keys;
  for (const auto& name : all.names()) {
    const auto& key = keys[name] = key_of(s.images, name);
    if (const auto found = known.find(key); found != known.end())
      features[name] = index[key] = found->second;
    else
      fresh.push_back(name);
  }
  std::cout << s.images << ": " << cp::with_commas(all.size()) << " images, "
            << cp::with_commas(std::ssize(fresh)) << " new images" << std::endl;
  if (fresh.empty()) return features;

  cp::write_safetensors(path, index);  // If it cannot be written, that shows before the work.
  cp::DataLoader loader(
      std::make_shared<cp::ImageFileSource>(s.images, fresh), clip.transform, nullptr,
      {.batch_size = s.batch_size,
       .threads = s.threads,
       .train = false,
       .channels_last = true,
       .max_pixels = kMaxPixels,
       .max_unusable_fraction = 1.0,
       .on_skip = [](const auto& sample) { std::cerr << "skipped " << sample.reason << "\n"; }});
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  auto saved = begin;
  std::int64_t done = 0;
  const auto save = [&] {
    saved = Clock::now();
    cp::write_safetensors(path, index);
    const std::chrono::duration<double> seconds = saved - begin;
    std::cout << "embedded " << cp::with_commas(done) << ", skipped " << loader.statistics().skipped
              << ", " << cp::with_digits(static_cast<double>(done) / seconds.count(), 3)
              << " images/s" << std::endl;
  };
  loader.start_epoch(0);
  while (const auto batch = loader.next()) {
    if (batch->keys.empty()) continue;  // None of these images can be read.
    const auto rows = clip.encode_images(batch->at("image")).unbind();
    for (std::size_t i = 0; i < rows.size(); ++i, ++done)
      features[batch->keys[i]] = index[keys.at(batch->keys[i])] = rows[i];
    if (Clock::now() - saved > std::chrono::minutes(1)) save();
  }
  save();
  return features;
}

// ==== Answers ==================================================================================
/// Prints the names with the `count` largest scores.
void print_best(const at::Tensor& scores, const std::vector<std::string>& names,
                std::int64_t count) {
  const auto [best, order] = scores.topk(std::min(count, scores.size(0)));
  for (std::int64_t i = 0; i < order.size(0); ++i)
    std::cout << "  " << cp::with_decimals(best[i].item<double>(), 4) << "  "
              << names[static_cast<std::size_t>(order[i].item<std::int64_t>())] << std::endl;
}

void search(const Clip& clip, const Settings& s) {
  std::vector<std::string> names;
  std::vector<at::Tensor> rows;
  for (const auto& [name, feature] : embed_images(clip, s)) {
    names.push_back(name);
    rows.push_back(feature);
  }
  TORCH_CHECK(!rows.empty(), "none of the images in '", s.images, "' can be read");
  const at::Tensor features = torch::stack(rows);  // [images, D]
  const auto answer = [&](const std::string& query) {
    std::cout << query << "\n";
    const at::Tensor tokens = clip.tokenizer.encode_all({query});
    print_best(features.mv(clip.encode_tokens(tokens)[0]), names, s.top);
  };
  for (const auto& query : s.query) answer(query);
  if (s.query.empty()) std::cout << "type what to find, one query a line" << std::endl;
  for (std::string line; s.query.empty() && std::getline(std::cin, line);)
    if (!line.empty()) answer(line);
}

void classify(const Clip& clip, const Settings& s) {
  std::vector<std::string> labels;
  if (fs::is_regular_file(s.labels)) labels = cp::read_lines(s.labels);
  std::istringstream list(labels.empty() ? s.labels : "");
  for (std::string label; std::getline(list >> std::ws, label, ',');) labels.push_back(label);
  TORCH_CHECK(!labels.empty(), "--classify needs --labels, such as \"cat,dog,car\"");
  const auto encode = [&](const at::Tensor& tokens) { return clip.encode_tokens(tokens); };
  const at::Tensor classes =
      cp::zero_shot_classifier(encode, clip.tokenizer.encode_all, labels, s.templates);
  std::cout << s.classify << std::endl;
  const auto file = cp::ImageFileSource("", {s.classify}).read(0);
  const at::Tensor pixels = clip.transform(cp::decode_image(file.image, kMaxPixels));
  const at::Tensor cosines = classes.mv(clip.encode_images(pixels.unsqueeze(0))[0]);
  const at::Tensor logits = clip.model->scale().cpu() * cosines, bias = clip.model->logit_bias;
  // With a bias, the model was trained to decide about each text alone.
  const at::Tensor probabilities =
      bias.defined() ? (logits + bias.cpu()).sigmoid() : logits.softmax(0);
  print_best(probabilities, labels, std::ssize(labels));
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Finds images that fit a text, and names the class of an image."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  try {
    TORCH_CHECK(!s.weights.empty(), "--weights is needed; docs/guides/search.md names some");
    TORCH_CHECK(!s.images.empty() || !s.classify.empty(),
                "give --images FOLDER or --classify IMAGE");
    const torch::NoGradGuard no_grad;
    const Clip clip(s);
    if (!s.classify.empty()) classify(clip, s);
    if (!s.images.empty()) search(clip, s);
  } catch (const std::exception& error) {
    std::cerr << "search_images: " << cp::error_text(error) << "\n";
    return 1;
  }
}
