// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Empty on purpose: the precompiled header of all tests is built with this file.
