// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/image/bounding_box.hpp"

#include "contrapunto/core/random.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A bounding box has the pixels of both boxes and touches them on all sides",
          "[image][cpu]") {
  RandomStream random(4);
  const auto draw = [&] {
    return PixelBox{random.integer(20), random.integer(20), 1 + random.integer(9),
                    1 + random.integer(9)};
  };
  for (int round = 0; round < 50; ++round) {
    const PixelBox a = draw(), b = draw();
    const PixelBox both = bounding_box(a, b);
    CHECK(both.left == std::min(a.left, b.left));
    CHECK(both.top == std::min(a.top, b.top));
    CHECK(both.left + both.width == std::max(a.left + a.width, b.left + b.width));
    CHECK(both.top + both.height == std::max(a.top + a.height, b.top + b.height));
  }
}

TEST_CASE("A box without pixels adds nothing to a bounding box", "[image][cpu]") {
  const PixelBox box{3, 4, 5, 6};
  for (const PixelBox& same : {bounding_box({}, box), bounding_box(box, {})}) {
    CHECK(same.left == 3);
    CHECK(same.top == 4);
    CHECK(same.width == 5);
    CHECK(same.height == 6);
  }
}
