// fill: the nearest valid sample by an exact Euclidean distance transform in two passes (Meijster, Roerdink and
// Hesselink, "A general algorithm for computing distance transforms in linear time", 2000), columns then rows.
// Ties go to the smallest row, then the smallest column.
#pragma once

#include "value.h"

namespace acutance {

struct FillArgs {
  Picture picture, out;
  const uint8_t* mask;  // nonzero: missing
  int64_t mask_pitch;   // bytes
  int32_t* nearest;     // [rows, cols]: row of the nearest valid sample in the same column, -1 for none
};

// First pass, down a column: takes the row of the nearest valid sample above and returns it for the row below; -1 at
// the top.
ACUTANCE_FN int32_t fill_down(const FillArgs& a, int row, int col, int32_t last) {
  if (!a.mask[row * a.mask_pitch + col]) last = row;
  a.nearest[static_cast<int64_t>(row) * a.picture.cols + col] = last;
  return last;
}

// Then up: the same from below; of two as near the upper one stays.
ACUTANCE_FN int32_t fill_up(const FillArgs& a, int row, int col, int32_t last) {
  int32_t* at = a.nearest + static_cast<int64_t>(row) * a.picture.cols + col;
  if (*at == row) last = row;
  if (last >= 0 && (*at < 0 || last - row < row - *at)) *at = last;
  return last;
}

ACUTANCE_FN void fill_column(const FillArgs& a, int col) {
  int32_t last = -1;
  for (int r = 0; r < a.picture.rows; ++r) last = fill_down(a, r, col, last);
  last = -1;
  for (int r = a.picture.rows - 1; r >= 0; --r) last = fill_up(a, r, col, last);
}

// The last column at which the candidate of column i is no worse than that of column k > i.
ACUTANCE_FN int64_t fill_last_of(int64_t i, int64_t row_i, int64_t k, int64_t row_k, int64_t row) {
  const int64_t gi = row_i - row, gk = row_k - row;
  const int64_t above = k * k - i * i + gk * gk - gi * gi, below = 2 * (k - i);
  int64_t at = above / below;
  if (above % below < 0) --at;
  return above % below == 0 && row_k < row_i ? at - 1 : at;
}

// Second pass, one row: the lower envelope of the columns' candidates. `winner` and `from` hold cols ints each.
template <class Pixel>
ACUTANCE_FN void fill_row(const FillArgs& a, int row, int32_t* winner, int32_t* from) {
  const int cols = a.picture.cols, colours = a.picture.colours;
  const uint8_t* mask = a.mask + row * a.mask_pitch;
  const int32_t* nearest = a.nearest + static_cast<int64_t>(row) * cols;
  int top = -1;
  for (int k = 0; k < cols; ++k) {
    if (nearest[k] < 0) continue;
    int64_t start = 0;
    for (; top >= 0; --top) {
      start = fill_last_of(winner[top], nearest[winner[top]], k, nearest[k], row) + 1;
      if (start > from[top]) break;
      start = 0;
    }
    if (start >= cols) continue;
    winner[++top] = k;
    from[top] = static_cast<int32_t>(start);
  }
  Pixel* to = pixel_row_to<Pixel>(a.out, row);
  for (int c = cols - 1; c >= 0; --c) {
    while (top > 0 && from[top] > c) --top;
    if (!mask[c] || top < 0) continue;
    const Pixel* valid =
        pixel_row<Pixel>(a.picture, nearest[winner[top]]) + static_cast<int64_t>(winner[top]) * colours;
    for (int k = 0; k < colours; ++k) to[static_cast<int64_t>(c) * colours + k] = valid[k];
  }
}

// Second pass, one pixel: looks at columns ever further away until none can be nearer. Takes as many steps as the
// nearest valid sample is columns away, and no memory; for a GPU, where all pixels of a row go at once.
template <class Pixel>
ACUTANCE_FN void fill_pixel(const FillArgs& a, int row, int col) {
  const int cols = a.picture.cols, colours = a.picture.colours;
  const int32_t* nearest = a.nearest + static_cast<int64_t>(row) * cols;
  int64_t best = INT64_MAX;
  int from_row = row, from_col = col;
  if (a.mask[row * a.mask_pitch + col]) {
    for (int64_t away = 0; away < cols && away * away <= best; ++away) {
      for (const int64_t c : {col - away, col + away}) {
        if (c < 0 || c >= cols || nearest[c] < 0) continue;
        const int64_t down = nearest[c] - row, distance = away * away + down * down;
        if (distance > best || (distance == best && nearest[c] >= from_row)) continue;
        best = distance, from_row = nearest[c], from_col = static_cast<int>(c);
      }
    }
  }
  const Pixel* from = pixel_row<Pixel>(a.picture, from_row) + static_cast<int64_t>(from_col) * colours;
  Pixel* to = pixel_row_to<Pixel>(a.out, row) + static_cast<int64_t>(col) * colours;
  for (int k = 0; k < colours; ++k) to[k] = from[k];
}

}  // namespace acutance
