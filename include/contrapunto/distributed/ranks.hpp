// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/Device.h>

#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/distributed/communicator.hpp"
#include "contrapunto/distributed/pending_tensor.hpp"
#include "contrapunto/distributed/single_process.hpp"

namespace contrapunto {

/// The ranks of a run: a single process, or any communicator, behind one type. Loader options, the
/// step context, losses and optimizers take a Ranks object, so the same program runs with 1 and
/// with 512 ranks. It is a handle: copies are cheap and refer to the same ranks. It compiles
/// without the component `distributed`. `join_ranks()` creates one from the environment of the
/// launcher. A communicator may also have progress(step), sign_off() and explain(error), which are
/// used if they exist.
class Ranks {
 public:
  /// A single process.
  Ranks() : Ranks(SingleProcess{}) {}

  /// The ranks of `communicator`, which is copied.
  template <class C>
  requires(!std::same_as<C, Ranks> && Communicator<C>)
      Ranks(C communicator)  // NOLINT: converting on purpose
      : self_(std::make_shared<Model<C>>(std::move(communicator))) {}

  /// This rank, from 0 to size() - 1, and the number of ranks.
  [[nodiscard]] std::int64_t rank() const { return self_->rank(); }
  [[nodiscard]] std::int64_t size() const { return self_->size(); }

  /// Returns whether this is rank 0, which prints, logs and writes checkpoints for all ranks.
  [[nodiscard]] bool is_first() const { return rank() == 0; }

  /// The number of ranks, for a plan of the run.
  [[nodiscard]] RanksFacts facts() const { return {size()}; }

  /// The device on which this rank trains.
  [[nodiscard]] c10::Device device() const { return self_->device(); }

  /// Tells the watchdog that this rank is at optimizer step `step`; see RankWatchdog::progress. It
  /// does nothing with one process.
  void progress(std::int64_t step) const { self_->progress(step); }

  /// Reports that this rank has finished its work, so that the others do not treat it as dead. If
  /// the Ranks of a rank are destroyed without this call, the other ranks are told that it ended
  /// early. It does nothing with one process.
  void sign_off() const { self_->sign_off(); }

  /// Describes what went wrong, for the user. If `error` came from a collective because another
  /// rank is gone, it waits until the watchdog has found that rank and has called on_failure, and
  /// returns the watchdog's text. The default on_failure of JoinOptions ends the process before
  /// that.
  [[nodiscard]] std::string explain(const std::exception& error) const {
    return self_->explain(error);
  }

  // The following members are those of the Communicator concept.
  void all_reduce_sum_(at::Tensor& tensor) const { self_->all_reduce_sum_(tensor); }
  [[nodiscard]] PendingTensor all_reduce_sum_async(at::Tensor& tensor) const {
    return self_->all_reduce_sum_async(tensor);
  }
  [[nodiscard]] at::Tensor all_gather(const at::Tensor& tensor) const {
    return self_->all_gather(tensor);
  }
  [[nodiscard]] at::Tensor reduce_scatter_sum(const at::Tensor& tensor) const {
    return self_->reduce_scatter_sum(tensor);
  }
  [[nodiscard]] PendingTensor ring_shift(const at::Tensor& tensor, std::int64_t by) const {
    return self_->ring_shift(tensor, by);
  }
  void broadcast_(at::Tensor& tensor, std::int64_t root) const { self_->broadcast_(tensor, root); }
  void barrier() const { self_->barrier(); }

  /// Returns the smallest `value` over the ranks, for a decision that all ranks must share. It is
  /// collective and waits for the result.
  [[nodiscard]] std::int64_t all_reduce_min(std::int64_t value) const {
    if (size() == 1) return value;
    const auto values =
        all_gather(at::scalar_tensor(value, at::TensorOptions(at::kLong).device(device())));  // [W]
    return values.min().item<std::int64_t>();
  }

 private:
  struct Interface {
    virtual ~Interface() = default;
    [[nodiscard]] virtual std::int64_t rank() const = 0;
    [[nodiscard]] virtual std::int64_t size() const = 0;
    [[nodiscard]] virtual c10::Device device() const = 0;
    virtual void all_reduce_sum_(at::Tensor& tensor) const = 0;
    [[nodiscard]] virtual PendingTensor all_reduce_sum_async(at::Tensor& tensor) const = 0;
    [[nodiscard]] virtual at::Tensor all_gather(const at::Tensor& tensor) const = 0;
    [[nodiscard]] virtual at::Tensor reduce_scatter_sum(const at::Tensor& tensor) const = 0;
    [[nodiscard]] virtual PendingTensor ring_shift(const at::Tensor& tensor,
                                                   std::int64_t by) const = 0;
    virtual void broadcast_(at::Tensor& tensor, std::int64_t root) const = 0;
    virtual void barrier() const = 0;
    virtual void progress(std::int64_t step) const = 0;
    virtual void sign_off() const = 0;
    [[nodiscard]] virtual std::string explain(const std::exception& error) const = 0;
  };

  template <class C>
  struct Model final : Interface {
    explicit Model(C c) : communicator(std::move(c)) {}
    std::int64_t rank() const override { return communicator.rank(); }
    std::int64_t size() const override { return communicator.size(); }
    c10::Device device() const override { return communicator.device(); }
    void all_reduce_sum_(at::Tensor& tensor) const override {
      communicator.all_reduce_sum_(tensor);
    }
    PendingTensor all_reduce_sum_async(at::Tensor& tensor) const override {
      return communicator.all_reduce_sum_async(tensor);
    }
    at::Tensor all_gather(const at::Tensor& tensor) const override {
      return communicator.all_gather(tensor);
    }
    at::Tensor reduce_scatter_sum(const at::Tensor& tensor) const override {
      return communicator.reduce_scatter_sum(tensor);
    }
    PendingTensor ring_shift(const at::Tensor& tensor, std::int64_t by) const override {
      return communicator.ring_shift(tensor, by);
    }
    void broadcast_(at::Tensor& tensor, std::int64_t root) const override {
      communicator.broadcast_(tensor, root);
    }
    void barrier() const override { communicator.barrier(); }
    void progress([[maybe_unused]] std::int64_t step) const override {
      if constexpr (requires { communicator.progress(step); }) communicator.progress(step);
    }
    void sign_off() const override {
      if constexpr (requires { communicator.sign_off(); }) communicator.sign_off();
    }
    std::string explain(const std::exception& error) const override {
      if constexpr (requires { communicator.explain(error); })
        return communicator.explain(error);
      else
        return error_text(error);
    }
    C communicator;
  };

  std::shared_ptr<const Interface> self_;
};
static_assert(Communicator<Ranks>);

}  // namespace contrapunto
