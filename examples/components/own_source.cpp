// SPDX-License-Identifier: CC0-1.0
// A data source of your own: it returns samples by index, and many threads read at once. Expect 4
// batches and one skipped sample.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: own_source
/// Solid gray images with their gray level as the caption; sample 13 cannot be read.
class GrayLevels : public cp::SampleSource {
 public:
  std::int64_t size() const override { return 256; }
  cp::EncodedSample read(std::int64_t index) const override {
    if (index == 13) throw cp::DataError("gray-13: broken");  // skipped, counted and named
    cp::RgbImage image(8, 8);
    std::fill_n(image.row(0), 8 * 8 * 3, static_cast<std::uint8_t>(index));
    cp::EncodedSample sample;
    sample.key = "gray-" + std::to_string(index);
    sample.image = cp::encode_ppm(image);
    sample.captions = {"gray level " + std::to_string(index)};
    return sample;
  }
};
// snippet end

int main() {
  const cp::Tokenizer tokenizer = cp::ByteTokenizer({.context_length = 32});
  cp::DataLoader loader(std::make_shared<GrayLevels>(), cp::ImageTransform({.image_size = 8}),
                        tokenizer.encode, {.batch_size = 64, .threads = 2, .train = false});
  for (loader.start_epoch(0); const auto batch = loader.next();)
    std::cout << "images " << batch->at("image").sizes() << ", tokens " << batch->at("text").sizes()
              << ", first key " << batch->keys.front() << "\n";
  const auto statistics = loader.statistics();
  std::cout << statistics.samples << " samples, " << statistics.skipped
            << " skipped: " << statistics.first_skipped.front() << "\n";
}
