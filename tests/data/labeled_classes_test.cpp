// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/data/labeled_classes.hpp"

#include "contrapunto/data/mixing_settings.hpp"
#include "data/contains.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

namespace {

using Names = std::vector<std::string>;

/// Samples with these labels.
class Labels : public SampleSource {
 public:
  Labels(std::vector<std::int64_t> labels, Names names = {})
      : labels_(std::move(labels)), names_(std::move(names)) {}
  [[nodiscard]] std::int64_t size() const override { return std::ssize(labels_); }
  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    return {.key = "k" + std::to_string(index), .source = "labels", .label = *label(index)};
  }
  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    return labels_[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] std::vector<std::string> class_names() const override { return names_; }

 private:
  std::vector<std::int64_t> labels_;
  Names names_;
};

}  // namespace

TEST_CASE("Classes have the names that are given, those of the data, or numbers", "[data][cpu]") {
  CHECK(labeled_classes(Labels({0, 1}, {"cat", "dog"}), {"a", "b"}).names == Names{"a", "b"});
  CHECK(labeled_classes(Labels({0, 1}, {"cat", "dog"})).names == Names{"cat", "dog"});
  const auto numbered = labeled_classes(Labels({2, 0}));
  CHECK(numbered.names == Names{"class 0", "class 1", "class 2"});
  CHECK(numbered.size() == 3);
  CHECK(numbered.notes() == Names{"train-data has no sample of class 1, 'class 1'"});
  const auto many = labeled_classes(Labels({0, 12}));
  CHECK(many.notes().size() == 11);
  CHECK(many.notes().back() == "and none of 1 more");
  CHECK(labeled_classes(Labels({1, 0})).notes().empty());
}

TEST_CASE("Data that no classifier can learn from is named", "[data][cpu]") {
  CHECK_THROWS_WITH(labeled_classes(Labels({0, 0})), test::contains("samples of 1 class"));
  CHECK_THROWS_WITH(labeled_classes(Labels({1, 1}, {"cat", "dog"})),
                    test::contains("samples of 1 class"));
  CHECK_THROWS_WITH(labeled_classes(Labels({0, 2}, {"cat", "dog"})),
                    test::contains("is 2, but there are 2 class names"));
}

TEST_CASE("Evaluation data must have the classes of the training data", "[data][cpu]") {
  const Labels train({0, 1}, {"cat", "dog"}), unnamed({0, 1});
  const auto classes = labeled_classes(train);
  CHECK_NOTHROW(check_evaluation_classes(Labels({1}, {"cat", "dog"}), train, classes));
  CHECK_NOTHROW(check_evaluation_classes(Labels({1}), train, classes));
  CHECK_NOTHROW(check_evaluation_classes(Labels({1}, {"a", "b"}), unnamed, classes));
  CHECK_THROWS_WITH(check_evaluation_classes(Labels({2}), train, classes),
                    test::contains("is 2, but there are 2 class names"));
  CHECK_THROWS_WITH(check_evaluation_classes(Labels({1}, {"cat", "fox"}), train, classes),
                    test::contains("class 1 is 'fox' there and 'dog' here"));
  CHECK_THROWS_WITH(check_evaluation_classes(Labels({0}, {"cat"}), train, classes),
                    test::contains("has 1 classes and the training data 2"));
}

TEST_CASE("The settings of mixing become a Mixup", "[data][cpu]") {
  MixingSettings settings{.mixup = 0.8,
                          .cutmix = 1.0,
                          .mixup_probability = 0.9,
                          .cutmix_share = 0.4,
                          .mixup_mode = "element",
                          .mixup_epochs = 2.5};
  CHECK(mixup_of(settings) == Mixup{.mixup = 0.8,
                                    .cutmix = 1.0,
                                    .probability = 0.9,
                                    .cutmix_share = 0.4,
                                    .mode = MixupMode::kElement});
  CHECK(settings.mixes_after(0.0));
  CHECK(settings.mixes_after(2.4));
  CHECK_FALSE(settings.mixes_after(2.5));
  settings.mixup_epochs = 0.0;
  CHECK(settings.mixes_after(1e6));
  CHECK_FALSE(MixingSettings().mixes_after(0.0));
  settings.mixup_mode = "rolled";
  CHECK_THROWS_WITH(mixup_of(settings), test::contains("kRolled"));
  for (const auto& [name, mode] :
       std::map<std::string, MixupMode>{{"batch", MixupMode::kBatch}, {"pair", MixupMode::kPair}}) {
    settings.mixup_mode = name;
    CHECK(mixup_of(settings).mode == mode);
  }
}
