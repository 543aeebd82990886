"""The types of a feature's raw column, one class for each type. No TensorFlow here.

A class defines the data type, the shape and the missing value of a column, and for what other code may use the column.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from scipy import sparse


@dataclass(frozen=True)
class RawColumn(ABC):
    """The base class of all types.

    Attributes:
      dtype: the name of the values' data type, as in TensorFlow and NumPy.
      missing: the value that stands for a missing one in dense arrays and tensors.
      one_string: whether a row has one string.
      categorical: whether the values are categories.
      numeric: whether a row has one number.
      timestamp: whether a row has one number that is a time, in seconds since 1970 UTC.
      comparable: whether the values of different deliveries are compared to measure drift; if not, only the shares of
        missing values are compared.
    """

    dtype: ClassVar[str] = "string"
    missing: ClassVar[float | str] = ""
    one_string: ClassVar[bool] = False
    categorical: ClassVar[bool] = False
    numeric: ClassVar[bool] = False
    timestamp: ClassVar[bool] = False
    comparable: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row: () for one value, (V,) for a list of up to V values or a vector of exactly V."""
        return ()

    @property
    def one_category(self) -> bool:
        """Whether a row has one category."""
        return self.categorical and not self.shape

    def sliceable(self, of_item: bool) -> bool:
        """Return whether an evaluation can be sliced by the values: by one per row, or by several categories of items.

        Args:
          of_item: whether the column is of items; else it is of users.
        """
        return not self.shape or (of_item and self.categorical)

    def value_type(self) -> "pa.DataType":
        """Return the Arrow type of one value."""
        import pyarrow as pa

        return pa.float32() if self.dtype == "float32" else pa.string()

    def arrow_type(self) -> "pa.DataType":
        """Return the Arrow type of the column."""
        import pyarrow as pa

        return pa.list_(self.value_type()) if self.shape else self.value_type()

    @abstractmethod
    def to_numpy(self, array: "pa.Array") -> "np.ndarray":
        """Return the column as a dense array: [N], or [N, W] for lists; W is the longest list's length, at least 1."""

    def to_fixed_numpy(self, array: "pa.Array") -> "np.ndarray":
        """Return the column as a dense array [N, *shape]; lists are cut or padded to that length."""
        return self.to_numpy(array)

    @abstractmethod
    def similarity_vectors(self, array: "pa.Array") -> "sparse.csr_array":
        """Return a vector for each row, [N, D], zeros if the value is missing; see `serving.item_vectors`.

        The cosine of the vectors of two rows is the similarity of the rows.
        """


@dataclass(frozen=True)
class StringColumn(RawColumn):
    """One category per row."""

    one_string: ClassVar[bool] = True
    categorical: ClassVar[bool] = True

    def to_numpy(self, array: "pa.Array") -> "np.ndarray":
        return array.fill_null("").to_numpy(zero_copy_only=False)

    def similarity_vectors(self, array: "pa.Array") -> "sparse.csr_array":
        from transform import similarity

        return similarity.of_categories(array)


@dataclass(frozen=True)
class TextColumn(RawColumn):
    """One text per row."""

    one_string: ClassVar[bool] = True
    comparable: ClassVar[bool] = False

    def sliceable(self, of_item: bool) -> bool:
        return False

    def to_numpy(self, array: "pa.Array") -> "np.ndarray":
        return array.fill_null("").to_numpy(zero_copy_only=False)

    def similarity_vectors(self, array: "pa.Array") -> "sparse.csr_array":
        from transform import similarity

        return similarity.of_sets(similarity.words(array))


@dataclass(frozen=True)
class StringListColumn(RawColumn):
    """Several categories per row, as a list or as one string with a separator.

    Args:
      most: the maximum number of values of a row.
      separator: the separator between the values of one string.
    """

    most: int
    separator: str = "|"
    categorical: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.most,)

    def to_numpy(self, array: "pa.Array") -> "np.ndarray":
        from transform import arrays

        return arrays.pad_strings(array)

    def to_fixed_numpy(self, array: "pa.Array") -> "np.ndarray":
        from transform import arrays

        return arrays.pad_strings(arrays.first_values(array, self.most), self.most)

    def similarity_vectors(self, array: "pa.Array") -> "sparse.csr_array":
        from transform import similarity

        return similarity.of_sets(array)


@dataclass(frozen=True)
class NumberColumn(RawColumn):
    """One number per row."""

    dtype: ClassVar[str] = "float32"
    missing: ClassVar[float | str] = float("nan")
    numeric: ClassVar[bool] = True

    def to_numpy(self, array: "pa.Array") -> "np.ndarray":
        return array.to_numpy(zero_copy_only=False).astype("float32")  # None becomes NaN

    def similarity_vectors(self, array: "pa.Array") -> "sparse.csr_array":
        from transform import similarity

        return similarity.of_numbers(array)


@dataclass(frozen=True)
class TimestampColumn(NumberColumn):
    """One time per row, in seconds since 1970 UTC; its age is a signal of the ranker."""

    timestamp: ClassVar[bool] = True
    comparable: ClassVar[bool] = False


@dataclass(frozen=True)
class VectorColumn(RawColumn):
    """One vector per row, as a list or as one string with a separator.

    Args:
      size: the number of values of a vector.
      separator: the separator between the values of one string.
    """

    size: int
    separator: str = "|"
    dtype: ClassVar[str] = "float32"
    missing: ClassVar[float | str] = float("nan")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    def to_numpy(self, array: "pa.Array") -> "np.ndarray":
        from transform import arrays

        return arrays.pad_numbers(array)

    def to_fixed_numpy(self, array: "pa.Array") -> "np.ndarray":
        from transform import arrays

        return arrays.pad_numbers(arrays.first_values(array, self.size), self.size)

    def similarity_vectors(self, array: "pa.Array") -> "sparse.csr_array":
        from transform import similarity

        return similarity.of_vectors(array, self.size)
