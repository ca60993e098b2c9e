// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cmath>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/loss/detail/weighted_terms.hpp"

namespace contrapunto {

namespace detail {

template <class Loss, class Inputs, class... Batch>
inline constexpr bool kTermTakes = [] {
  if constexpr (std::is_invocable_v<const Loss&, const Inputs&, const Batch&...>)
    return true;
  else if constexpr (requires(const Inputs& inputs) { inputs.student; })
    return std::is_invocable_v<const Loss&, const decltype(Inputs::student)&, const Batch&...>;
  else
    return false;
}();

/// Returns the loss of the inputs, or of their student if the loss takes embeddings.
template <class Loss, class Inputs, class... More>
[[nodiscard]] LossTerms term_value(const Loss& loss, const Inputs& inputs, const More&... batch) {
  if constexpr (std::is_invocable_v<const Loss&, const Inputs&>)
    return loss(inputs);
  else if constexpr (std::is_invocable_v<const Loss&, const Inputs&, const More&...>)
    return loss(inputs, batch...);
  else
    return term_value(loss, inputs.student, batch...);
}

}  // namespace detail

/// A loss with a name for the log and a weight in a `LossSum`.
template <class Loss>
struct WeightedLoss {
  std::string name;
  double weight = 1.0;
  Loss loss;
};
template <class Loss>
WeightedLoss(std::string, double, Loss) -> WeightedLoss<Loss>;

/// The weighted sum of several losses, which itself is a loss. Each term appears in the log under
/// its name, without its weight, followed by its own parts as NAME/PART. A term with weight 0 is
/// neither computed nor logged. A loss of embeddings is given those of the student if the sum is
/// given `DistilledEmbeddings`. Losses may read the batch.
///
///   const LossSum loss(WeightedLoss{"contrastive", 1 - alpha, TiledInfoNce({}, ranks)},
///                      WeightedLoss{"affinity", alpha, AffinityLoss({}, ranks)});
template <class... Losses>
class LossSum {
 public:
  /// Raises for a weight that is not finite, and if all weights are 0.
  explicit LossSum(WeightedLoss<Losses>... terms) : terms_(std::move(terms)...) {
    bool any = false;
    const auto check = [&](const auto& term) {
      TORCH_CHECK(std::isfinite(term.weight), "LossSum: the weight of '", term.name, "' is ",
                  term.weight);
      any = any || term.weight != 0.0;
    };
    std::apply([&](const auto&... term) { (check(term), ...); }, terms_);
    TORCH_CHECK(any, "LossSum: all weights are 0");
  }

  /// Returns the sum of losses that do not read the batch.
  template <class Inputs>
  requires(...&& detail::kTermTakes<Losses, Inputs>) [[nodiscard]] LossTerms operator()(
      const Inputs& inputs) const {
    return sum(inputs);
  }
  /// Returns the sum if some losses read the batch.
  template <class Inputs>
  requires(... && (detail::kTermTakes<Losses, Inputs> || detail::kTermTakes<Losses, Inputs, Batch>))
      [[nodiscard]] LossTerms
      operator()(const Inputs& inputs, const Batch& batch) const {
    return sum(inputs, batch);
  }

 private:
  template <class... Arguments>
  [[nodiscard]] LossTerms sum(const Arguments&... arguments) const {
    detail::WeightedTerms sum;
    const auto add = [&](const auto& term) {
      if (term.weight != 0.0)
        sum.add(term.name, term.weight, detail::term_value(term.loss, arguments...));
    };
    std::apply([&](const auto&... term) { (add(term), ...); }, terms_);
    return sum.take();
  }

  std::tuple<WeightedLoss<Losses>...> terms_;
};

}  // namespace contrapunto
