"""Writes the digits that scikit-learn brings along as text: 64 brightnesses from a to q, and the digit."""

from sklearn.datasets import load_digits

digits = load_digits()
for pixels, digit in zip(digits.data, digits.target):
    print("".join(chr(ord("a") + int(pixel)) for pixel in pixels) + str(digit))
