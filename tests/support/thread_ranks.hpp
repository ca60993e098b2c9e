// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <barrier>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/distributed/communicator.hpp"
#include "support/catch.hpp"

namespace contrapunto::test {

/// A communicator whose ranks are threads of this process, for tests of code that is built on a
/// communicator. A rank that throws while others wait ends the program. Use Catch's macros outside
/// of the ranks only.
class ThreadRank {
 public:
  struct Shared {
    explicit Shared(std::int64_t n) : size(n), barrier(n), slots(static_cast<std::size_t>(n)) {}
    std::int64_t size;
    std::barrier<> barrier;
    std::vector<at::Tensor> slots;
  };

  ThreadRank(std::shared_ptr<Shared> shared, std::int64_t rank)
      : shared_(std::move(shared)), rank_(rank) {}

  [[nodiscard]] std::int64_t rank() const { return rank_; }
  [[nodiscard]] std::int64_t size() const { return shared_->size; }
  [[nodiscard]] c10::Device device() const { return c10::Device(c10::kCPU); }

  [[nodiscard]] at::Tensor all_gather(const at::Tensor& tensor) const {
    const at::NoGradGuard no_grad;
    return exchange(tensor, [](const std::vector<at::Tensor>& all) { return torch::stack(all); });
  }
  void all_reduce_sum_(at::Tensor& tensor) const {
    tensor.copy_(exchange(
        tensor, [](const std::vector<at::Tensor>& all) { return torch::stack(all).sum(0); }));
  }
  [[nodiscard]] PendingTensor all_reduce_sum_async(at::Tensor& tensor) const {
    all_reduce_sum_(tensor);
    return PendingTensor(tensor);
  }
  [[nodiscard]] at::Tensor reduce_scatter_sum(const at::Tensor& tensor) const {
    return exchange(tensor, [&](const std::vector<at::Tensor>& all) {
      return torch::stack(all).sum(0)[rank_].clone();
    });
  }
  [[nodiscard]] PendingTensor ring_shift(const at::Tensor& tensor, std::int64_t by) const {
    const auto from = static_cast<std::size_t>(((rank_ + by) % size() + size()) % size());
    return PendingTensor(
        exchange(tensor, [&](const std::vector<at::Tensor>& all) { return all[from].clone(); }));
  }
  void broadcast_(at::Tensor& tensor, std::int64_t root) const {
    tensor.copy_(exchange(tensor, [&](const std::vector<at::Tensor>& all) {
      return all[static_cast<std::size_t>(root)].clone();
    }));
  }
  void barrier() const { shared_->barrier.arrive_and_wait(); }

 private:
  template <class Combine>
  [[nodiscard]] at::Tensor exchange(const at::Tensor& tensor, const Combine& combine) const {
    shared_->slots[static_cast<std::size_t>(rank_)] = tensor.detach().contiguous();
    barrier();
    auto result = combine(shared_->slots);
    barrier();
    return result;
  }

  std::shared_ptr<Shared> shared_;
  std::int64_t rank_;
};
static_assert(Communicator<ThreadRank>);

/// Runs `work(rank)` on `size` ranks at once and returns when all are done. Raises the error of a
/// rank.
template <class Work>
void run_thread_ranks(std::int64_t size, const Work& work) {
  const auto shared = std::make_shared<ThreadRank::Shared>(size);
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        work(ThreadRank(shared, rank));
      } catch (...) {
        failures[static_cast<std::size_t>(rank)] = std::current_exception();
        shared->barrier.arrive_and_drop();
      }
    });
  for (auto& thread : threads) thread.join();
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace contrapunto::test
