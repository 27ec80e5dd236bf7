"""The figures of the gallery: the studies that draw them, their texts, and their data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from experiments import (
    cam_figure,
    founding_game,
    grad_cam_figure,
    housing,
    lime_figure,
    newsgroups,
    photograph_mosaics,
    photographs,
)

_DIGITS = (
    "real handwritten digits (UCI optical recognition of handwritten digits) at random positions in front of the "
    "photographs that scikit-image contains"
)
_PHOTOGRAPHS = (
    "photographs that scikit-image and scikit-learn contain, and EfficientNet-Lite0 with its ImageNet weights"
)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure, or one of its parts. file: its name; description: its alternative text."""

    file: str
    description: str


@dataclasses.dataclass(frozen=True)
class Figure:
    """number, title, text: of the index; pictures: the files that the study draws for the figure."""

    number: int
    title: str
    text: str
    pictures: tuple[Picture, ...]


@dataclasses.dataclass(frozen=True)
class Study:
    """A command and the figures that it draws.

    main: the study, (arguments) -> None, which writes figures and numbers.json into --out.
    quick: arguments with which it takes seconds.
    real, stand_in: descriptions of the data, with a file and without.
    option: the study's option for the file; own_option: the gallery's option for the file.
    without: arguments that request the stand-in data.
    """

    name: str
    main: Callable[[list[str]], None]
    figures: tuple[Figure, ...]
    quick: tuple[str, ...]
    real: str
    stand_in: str = ""
    option: str = ""
    without: tuple[str, ...] = ()
    own_option: str = ""


STUDIES = (
    Study(
        "cam_figure",
        cam_figure.main,
        (
            Figure(
                1,
                "the head's weights, projected back on the channel maps",
                "After global average pooling, the class activation map is the sum of the channel maps, weighted by the "
                "weights of the class. Its mean plus the bias is the logit (Zhou et al. 2016, figure 2).",
                (
                    Picture(
                        "cam.png",
                        "Above, the five channel maps with the largest contributions, each under its weight, plus the sum of all "
                        "others, equal the class activation map. Below, the image, the map over it, and a waterfall from the bias "
                        "to the logit.",
                    ),
                ),
            ),
            Figure(
                2,
                "the evidence of CAM",
                "What speaks for the class, over an image of every class, all on one scale. The frame is the digit's true "
                "position, on which the network was not trained.",
                (
                    Picture(
                        "cam_looks.png",
                        "Ten images in gray, one of each digit in front of a photograph, with a warm spot of color "
                        "where the class activation map is high, and a frame around the digit.",
                    ),
                ),
            ),
        ),
        ("--epochs", "2"),
        _DIGITS,
    ),
    Study(
        "grad_cam_figure",
        grad_cam_figure.main,
        (
            Figure(
                3,
                "how Grad-CAM is computed",
                "For a network that CAM cannot explain: the mean gradient of each channel is the weight of its activations, and "
                "the positive part of the weighted sum is the heat map (Selvaraju et al. 2017, equations 1 and 2).",
                (
                    Picture(
                        "grad_cam.png",
                        "Three rows of five channels: activations, gradients, and activations times the mean gradient. "
                        "Below, the image, the sum over all channels, its positive part, and the heat map over the image.",
                    ),
                ),
            ),
        ),
        ("--epochs", "2"),
        _DIGITS,
    ),
    Study(
        "lime_figure",
        lime_figure.main,
        (
            Figure(
                4,
                "LIME's local line",
                "A curved boundary, an instance, samples around it, and the line fitted to them, with the lines of other draws "
                "(Ribeiro et al. 2016, figure 3): samples as in the paper, and samples drawn in proportion to the weight.",
                (
                    Picture(
                        "lime.png",
                        "Two panels in red and blue, the model's output, with the same wavy boundary and a cross near it. Dots are "
                        "samples, with their weight as area. A thick dashed line through the boundary near the cross is the "
                        "surrogate; faint lines of other draws spread around it, less so on the right.",
                    ),
                ),
            ),
        ),
        ("--samples", "60", "--draws", "3", "--epochs", "2"),
        "points on both sides of a wave, made by the study, and a small network trained on them",
    ),
    Study(
        "newsgroups",
        newsgroups.main,
        (
            Figure(
                5,
                "LIME on two text classifiers",
                "Right for the wrong reasons: a network trained on posts with their headers depends on header words more "
                "than one trained on bodies alone, and loses more accuracy if the headers change (Ribeiro et al. 2016, "
                "figure 2).",
                (
                    Picture(
                        "newsgroups.png",
                        "Above, the ten heaviest words of one post for each classifier as bars; words of the header are "
                        "in boxes, more and heavier ones for the first classifier. Below, the share of header words in many "
                        "explanations, and the accuracy on posts as they are, without headers, and with headers of the "
                        "other group.",
                    ),
                ),
            ),
        ),
        ("--seeds", "1", "--posts", "4", "--samples", "300"),
        "posts of alt.atheism and soc.religion.christian (20 newsgroups, by date)",
        "generated posts with the defect of the real ones, headers that reveal the group; they "
        "are not 20 newsgroups. Pass --newsgroups with a file of the posts for the real figure",
        "--data",
        ("--stand-in",),
        "--newsgroups",
    ),
    Study(
        "founding_game",
        founding_game.main,
        (
            Figure(
                6,
                "the three-worker game",
                "What each team earns, what each worker adds in each of the six orders in which they may join, and the "
                "means over the orders: the Shapley values 52/6, 73/6 and 85/6 (Shapley 1953).",
                (
                    Picture(
                        "founding_game.png",
                        "A table of the pay of eight teams, a table of what A, B and C add in six orders with their "
                        "means, and a waterfall from 0 to 35: A adds 52/6, B 73/6, C 85/6.",
                    ),
                ),
            ),
        ),
        (),
        "the game itself: v(A) = 4, v(B) = 7, v(C) = 5, v(AB) = 10, v(AC) = 16, v(BC) = 20, v(ABC) = 35",
    ),
    Study(
        "housing",
        housing.main,
        (
            Figure(
                7,
                "SHAP on housing prices",
                "Four rows from the average forecast to their own, one feature over all rows, and all features "
                "(Lundberg & Lee 2017).",
                (
                    Picture(
                        "housing_force.png",
                        "Four force plots on one scale, from a low value of the feature under study to a high one: "
                        "red arrows push the forecast up, blue ones down.",
                    ),
                    Picture(
                        "housing_dependence.png",
                        "A scatter of the feature's value against what it adds to the forecast, a dot for each row, "
                        "colored by the feature with the strongest interaction.",
                    ),
                    Picture(
                        "housing_summary.png",
                        "A row of dots for each feature, the most important first: what it adds in each row, colored "
                        "from low to high values of the feature.",
                    ),
                ),
            ),
        ),
        ("--rows", "60", "--splits", "2", "--background", "10"),
        "506 districts of Boston (Harrison & Rubinfeld 1978), which scikit-learn withdrew because of the "
        "assumption of their variable b; they serve as a known yardstick of explanations here, and should serve for nothing else",
        "442 patients with diabetes (scikit-learn) instead of housing prices, with the body mass index instead of "
        "lstat. Pass --boston with a CSV file of the housing data for the figure of the notes",
        "--boston",
        own_option="--boston",
    ),
    Study(
        "photographs",
        photographs.main,
        (
            Figure(
                8,
                "an ImageNet network on photographs",
                "Five photographs with one object each, and one picture of a cat beside an espresso, in which each class "
                "must light up its own half, by CAM, Grad-CAM, LIME and SHAP.",
                (
                    Picture(
                        "photographs.png",
                        "Seven columns: a cat, an espresso, a moped, a palace, a daisy, and twice a picture whose left half is the "
                        "cat and whose right half is the espresso. Below each, four maps in red and blue; in the last two "
                        "columns the red lies in the framed half.",
                    ),
                ),
            ),
        ),
        ("--samples", "30", "--permutations", "1"),
        _PHOTOGRAPHS,
    ),
    Study(
        "photograph_mosaics",
        photograph_mosaics.main,
        (
            Figure(
                9,
                "pointing into mosaics of photographs",
                "How often the strongest pixel of each map lies in the cell of its class, and the share of its positive "
                "mass there (Böhle et al. 2021); the probability as cells are deleted and inserted (Petsiuk et al. 2018).",
                (
                    Picture(
                        "photograph_halves.png",
                        "A row of dots with intervals for each method: the share of maps that point into their own half, "
                        "and the mass there. A dashed line marks chance, one half.",
                    ),
                    Picture(
                        "photograph_quadrants.png",
                        "The same for mosaics of four photographs, where chance is one quarter, for each method a row of "
                        "dots with intervals.",
                    ),
                    Picture(
                        "photograph_curves.png",
                        "Four panels of curves, deletion and insertion for photographs above and for digits below, with a "
                        "line for each of four methods and for a random order.",
                    ),
                ),
            ),
        ),
        ("--maps", "4", "--samples", "30", "--epochs", "2", "--methods", "CAM", "SHAP"),
        _PHOTOGRAPHS,
    ),
)
