"""Words of rows as vectors: counts, TF-IDF, length one."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import sparse

from features.words import cells, number, words


def word_counts(column: pl.Series) -> sparse.csr_matrix:
    """How often each row has each word of the column, float32 CSR [n_rows, n_words]."""
    row, word = cells(words(column))
    vocabulary = word.unique().sort()
    place = number(word, vocabulary)
    ones = np.ones(len(row), np.float32)
    return sparse.csr_matrix((ones, (row, place)), shape=(len(column), len(vocabulary)))


def tfidf(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """``(1 + log tf) * (1 + log((1 + n) / (1 + df)))``, rows of length one, zeros stay zeros."""
    n, df = counts.shape[0], np.bincount(counts.indices, minlength=counts.shape[1])
    idf = 1.0 + np.log((1.0 + n) / (1.0 + df))
    weighted = counts.copy()
    weighted.data = ((1.0 + np.log(counts.data)) * idf[counts.indices]).astype(np.float32)
    return unit_rows(weighted)


def heaviest(matrix: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """The ``n`` largest cells of each row, of equal ones the first; rows are not rescaled."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - matrix.indptr[row]
    kept = place < n
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row[kept], minlength=matrix.shape[0]))))
    return sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)


def unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix itself, its rows brought to length one."""
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix.data = (matrix.data / np.repeat(norms, np.diff(matrix.indptr))).astype(np.float32)
    return matrix
