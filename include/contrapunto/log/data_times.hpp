// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// Seconds that a loader has spent since its creation.
struct DataTimes {
  double wait = 0.0;  ///< The training waited for a batch.
  // The work of all threads of the loader together.
  double read = 0.0;       ///< Reading encoded samples.
  double decode = 0.0;     ///< Decoding images.
  double transform = 0.0;  ///< Cropping, resizing and coloring images.
  double tokenize = 0.0;   ///< Tokenizing captions.

  DataTimes& operator+=(const DataTimes& other) {
    wait += other.wait;
    read += other.read;
    decode += other.decode;
    transform += other.transform;
    tokenize += other.tokenize;
    return *this;
  }
  DataTimes& operator-=(const DataTimes& other) {
    return *this += {-other.wait, -other.read, -other.decode, -other.transform, -other.tokenize};
  }
};

}  // namespace contrapunto
