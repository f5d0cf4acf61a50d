"""The ways to learn a translation, by what there is to learn from: networks, objectives, and what they come to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Apply, Objective
from fedgen.families.parts.folding import copies
from fedgen.families.parts.patch_critic import PatchCritic
from fedgen.families.parts.sources import Sources, sources_of, told_numbers
from fedgen.families.parts.task_loss import Kept
from fedgen.families.translate_gan.content_style import (
    CONTENT,
    DECODE,
    STYLE,
    Content,
    Decode,
    Style,
    StyleCriticsObjective,
    StylesObjective,
)
from fedgen.families.translate_gan.cycles import (
    BACK,
    CRITIC_BACK,
    CriticsObjective,
    CycleObjective,
    translated,
)
from fedgen.families.translate_gan.networks import Translator
from fedgen.families.translate_gan.options import TranslateGANOptions
from fedgen.families.translate_gan.pairs import (
    CRITIC,
    TRANSLATOR,
    CriticObjective,
    TranslatorObjective,
    distance,
)
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task


class Way(ABC):
    """How a translation is learned.

    Args:
        task: a translation.
        options: of the family.
    """

    def __init__(self, task: Task, options: TranslateGANOptions) -> None:
        self.task, self.options = task, options
        self.made = task.stack
        self.kept = Kept(options.task_loss, self.made)
        channels = sum(field.channels for field in task.sources)
        self.read = self.made.model_copy(update={"channels": channels})

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Fresh networks by name."""

    def critic(self, image: ImageSpec, told: int = 0, beside: int = 0) -> PatchCritic:
        """A fresh judge of such images, beside pictures of so many channels and so many numbers."""
        o = self.options
        return PatchCritic(
            image, image.channels + beside, told, width=o.critic_channels, layers=o.critic_layers
        )

    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]:
        """The discriminators', then the translators'; all read patients."""

    @abstractmethod
    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, numbers) that a translation is drawn by; of no numbers where it is a function of its sources."""

    @abstractmethod
    def translate(self, networks: Mapping[str, nn.Module], sources: Sources, drawn: Tensor) -> Tensor:
        """Translations (n, C, *size) of sources (n, ...)."""

    @abstractmethod
    def misses(self, networks: Mapping[str, nn.Module], records: Records) -> list[tuple[Tensor, Tensor]]:
        """Distances (B*M,) to what is known, with the weights (B, M) of their group."""

    def back(self, networks: Mapping[str, nn.Module], made: Tensor, drawn: Tensor) -> Tensor | None:
        """The source again of what was made (n, C, *size), by chance as `drawn`; None where nothing goes back."""
        return None


class Pairs(Way):
    """The target is known."""

    def networks(self) -> dict[str, nn.Module]:
        """`translator`, and `critic` where there is a game."""
        told, options = told_numbers(self.task), self.options
        built: dict[str, nn.Module] = {TRANSLATOR: Translator(self.read.channels, told, self.made, options)}
        if options.adversarial_weight != 0:
            built[CRITIC] = self.critic(self.made, told, beside=self.read.channels)
        return built

    def objectives(self) -> tuple[Objective, ...]:
        """See `Way`."""
        translator = TranslatorObjective(self.task, self.options, self.kept)
        if self.options.adversarial_weight == 0:
            return (translator,)
        return (CriticObjective(self.task, self.options), translator)

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Nothing."""
        return torch.zeros(n, 0)

    def translate(self, networks: Mapping[str, nn.Module], sources: Sources, drawn: Tensor) -> Tensor:
        """See `Way`."""
        made: Tensor = networks[TRANSLATOR](sources.x, sources.told)
        return made

    def misses(self, networks: Mapping[str, nn.Module], records: Records) -> list[tuple[Tensor, Tensor]]:
        """To the target."""
        weights = records.weights["patient"]
        found = sources_of(self.task, records.fields, weights)
        rows = Sources(copies(found.x, 1), copies(found.told, 1))
        y = copies(stacked(self.task, records.fields), 1)
        return [(distance(self.translate(networks, rows, y) - y), weights)]


class _WithoutPairs(Way):
    """Two contrasts of different patients."""

    def critics(self) -> dict[str, nn.Module]:
        """One for each contrast."""
        return {
            CRITIC: self.critic(self.made),
            CRITIC_BACK: self.critic(self.read),
        }

    @abstractmethod
    def again(self, networks: Mapping[str, Apply], x: Tensor, end: int) -> Tensor:
        """What the networks make of images of one end, 0 of the source and 1 of the target, in the same contrast."""

    def misses(self, networks: Mapping[str, nn.Module], records: Records) -> list[tuple[Tensor, Tensor]]:
        """Of images to what comes back of them."""
        found = []
        for end, field in enumerate((self.task.sources[0], self.task.makes[0])):
            x = copies(records.fields[field.name], 1)
            found.append((distance(self.again(networks, x, end) - x), records.weights[field.group]))
        return found


class Cycles(_WithoutPairs):
    """There and back."""

    def networks(self) -> dict[str, nn.Module]:
        """`translator` and `back`, and a discriminator for each."""
        return {
            TRANSLATOR: Translator(self.read.channels, 0, self.made, self.options),
            BACK: Translator(self.made.channels, 0, self.read, self.options),
            **self.critics(),
        }

    def objectives(self) -> tuple[Objective, ...]:
        """See `Way`."""
        return (CriticsObjective(self.task, self.options), CycleObjective(self.task, self.options, self.kept))

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Nothing."""
        return torch.zeros(n, 0)

    def translate(self, networks: Mapping[str, nn.Module], sources: Sources, drawn: Tensor) -> Tensor:
        """See `Way`."""
        return translated(networks[TRANSLATOR], sources.x)

    def back(self, networks: Mapping[str, nn.Module], made: Tensor, drawn: Tensor) -> Tensor:
        """See `Way`."""
        return translated(networks[BACK], made)

    def again(self, networks: Mapping[str, Apply], x: Tensor, end: int) -> Tensor:
        """See `_WithoutPairs`."""
        out, home = ((TRANSLATOR, BACK), (BACK, TRANSLATOR))[end]
        return translated(networks[home], translated(networks[out], x))


class Styles(_WithoutPairs):
    """Content and style."""

    def networks(self) -> dict[str, nn.Module]:
        """For each contrast its content, its style, a decoder and a discriminator."""
        built: dict[str, nn.Module] = {}
        for end, image in enumerate((self.read, self.made)):
            built[CONTENT[end]] = Content(image, self.options)
            built[STYLE[end]] = Style(image, self.options)
            built[DECODE[end]] = Decode(image, self.options)
        return {**built, **self.critics()}

    def objectives(self) -> tuple[Objective, ...]:
        """See `Way`."""
        return (
            StyleCriticsObjective(self.task, self.options),
            StylesObjective(self.task, self.options, self.kept),
        )

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """A style."""
        return torch.randn(n, self.options.style_size, generator=rng, device=rng.device)

    def translate(self, networks: Mapping[str, nn.Module], sources: Sources, drawn: Tensor) -> Tensor:
        """See `Way`."""
        made: Tensor = networks[DECODE[1]](networks[CONTENT[0]](sources.x), drawn)
        return made

    def back(self, networks: Mapping[str, nn.Module], made: Tensor, drawn: Tensor) -> Tensor:
        """In a style that is drawn: what is made says nothing of its source's."""
        again: Tensor = networks[DECODE[0]](networks[CONTENT[1]](made), drawn)
        return again

    def again(self, networks: Mapping[str, Apply], x: Tensor, end: int) -> Tensor:
        """In its own style."""
        made: Tensor = networks[DECODE[end]](networks[CONTENT[end]](x), networks[STYLE[end]](x))
        return made


def way_of(task: Task, options: TranslateGANOptions) -> Way:
    """By what the task has, and what was asked for."""
    if task.paired:
        return Pairs(task, options)
    return (Styles if options.content_style else Cycles)(task, options)
