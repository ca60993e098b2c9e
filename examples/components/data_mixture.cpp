// SPDX-License-Identifier: CC0-1.0
// Two data sets in one: three of four samples come from the first, whatever their sizes, and an
// epoch has 400 samples. Pieces of 16 samples are read at once and shuffled in groups. Expect 300
// and 100 samples, and the same batches after a resume.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

int main() {
  const auto shapes = [](std::int64_t samples, std::uint64_t seed) {
    return std::make_shared<const cp::SyntheticShapes>(
        cp::SyntheticShapesOptions{.samples = samples, .seed = seed});
  };
  const cp::Tokenizer tokenizer = cp::ByteTokenizer({.context_length = 64});
  const cp::ImageTransform transform({.image_size = 16, .train = true});

  // snippet: data_mixture
  const auto few = std::make_shared<const cp::LabelCaptions>(
      shapes(60, 1), std::vector<std::string>{"few: a {}."});  // the captions mark the set
  const auto both = std::make_shared<const cp::SourceMixture>(
      std::vector<cp::SourceMixture::Member>{{shapes(500, 0), "many", 3.0}, {few, "few", 1.0}});

  cp::LoaderOptions options{.batch_size = 50, .epoch_samples = 400};
  options.read_ahead = {.piece_samples = 16, .pieces_together = 2, .lanes = 2};
  cp::DataLoader loader(both, transform, tokenizer.encode, options);
  for (const auto& line : loader.describe_epoch()) std::cout << line << "\n";
  // snippet end

  std::int64_t marked = 0, samples = 0;
  std::optional<cp::Batch> last;
  std::optional<cp::State> before_last;
  loader.start_epoch(0);
  for (;;) {
    auto state = loader.save_state();
    auto batch = loader.next();
    if (!batch) break;
    const auto first_letter = batch->at("text").select(1, 1);  // after the start token
    samples += batch->size();
    last = std::move(batch);
    before_last = std::move(state);
    marked += first_letter.eq(tokenizer.encode("few")[1]).sum().item<std::int64_t>();
  }
  std::cout << samples - marked << " samples of the large set and " << marked
            << " of the small one\n";

  cp::DataLoader resumed(both, transform, tokenizer.encode, options);
  resumed.load_state(before_last.value());
  const bool equal = resumed.next()->at("image").equal(last->at("image"));
  std::cout << "the resumed batch is " << (equal ? "equal" : "different") << "\n";
  return equal && marked == 100 ? 0 : 1;
}
