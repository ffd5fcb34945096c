// How the products see a weight [rows, columns]: as stored, or packed once for many products.
//
// Packed, 16 rows of the weight stand side by side as a panel, rows behind the last one being zeros; along the columns a panel falls into blocks
// of 128. A block is a sequence of column pairs (an odd last column is paired with zeros); a pair is, for the rows n of the panel,
//   f32:  16 floats of the first column, 16 of the second
//   f16:  16 halves of the first column, 16 of the second
//   bf16: 16 words of 32 bits, the first column in the low half and the second in the high half
//   bf12: the same 32 bf16 values v[2n], v[2n + 1] in 48 bytes without loss: their low bytes as they are, and of their high bytes (sign and upper
//         exponent bits, of which a block has few) the place in the block's table of 16. Let v[i] stand at place(i) = 16 (i / 8 mod 2) + 8 (i / 16)
//         + i mod 8: then bytes 0..15 hold the codes of places j (low half) and 16 + j (high half), and bytes 16..47 the low bytes by place.
//         High bytes beyond the table are exceptions, listed by block.
#pragma once

#include <cstdint>

namespace elm {

/// Rows of a panel.
constexpr int panel_rows = 16;
/// Terms of one chain of a product's sum, and columns of a packed block.
constexpr int block_terms = 128;
/// Entries of a block's table of high bytes.
constexpr int table_entries = 16;

enum class Form : int { f32 = 0, bf16 = 1, f16 = 2, bf12 = 3 };

struct Weight {
    const uint8_t* data;
    Form form;
    bool packed;
    int rows, columns;
    int64_t stride;  // bytes from row to row as stored, from panel to panel where packed

    // bf12 alone. A block has the number panel * blocks + block of the panel.
    const uint8_t* tables;       // [blocks of all panels][16]
    const uint32_t* first;       // [blocks of all panels + 1]: where a block's exceptions begin
    const uint32_t* exceptions;  // column in the block * 16 + row in the panel, plus high byte << 16; rising in a block

    int blocks() const { return (columns + block_terms - 1) / block_terms; }
};

/// Bytes of one element as stored.
constexpr int element_size(Form form) { return form == Form::f32 ? 4 : 2; }
/// Bytes of a packed pair of columns.
constexpr int pair_size(Form form) { return form == Form::f32 ? 128 : form == Form::bf12 ? 48 : 64; }
/// Where value i of a bf12 pair stands.
constexpr int pair_place(int i) { return 16 * (i / 8 % 2) + 8 * (i / 16) + i % 8; }

}  // namespace elm
