"""The spans of a prompt colored by what they are worth to the response of a language model, as HTML."""

from __future__ import annotations

import hashlib
import html

import numpy as np
from matplotlib.colors import to_rgb

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.words import printable
from xaijax.plot._parts.axes import caption
from xaijax.plot._parts.colors import NEGATIVE, POSITIVE, both_ways, scale_of
from xaijax.plot._parts.prompts import Shown, View, read_prompt, sentences_of, visible
from xaijax.text import Prompt

# A translucent color of each sign, of which one has strength 0, and lines over spans whose sign is not known, which are
# fainter. Black on white and white on black keep a contrast of 4.5 over the strongest color (WCAG 2.2, 1.4.3).
_STRONGEST, _FAINT = 0.6, 0.55
_STYLE = """
.X{margin:0}
.X p{margin:.4em 0}
.X .t,.X .r{line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere}
.X .t{padding-inline-end:.6em}
.X .o{opacity:.7}
.X .s{--a:var(--aC,0);--h:var(--hC,0);--d:calc(1 - FAINT*var(--h));padding:.1em .25em;border-radius:3px;
-webkit-box-decoration-break:clone;box-decoration-break:clone;-webkit-print-color-adjust:exact;print-color-adjust:exact;
background-image:repeating-linear-gradient(135deg,rgb(127 127 127/calc(.35*var(--h))) 0 1px,transparent 1px 6px),
linear-gradient(rgb(PLUS/calc(STRONGEST*var(--d)*max(0,var(--a)))) 0 0),
linear-gradient(rgb(MINUS/calc(STRONGEST*var(--d)*max(0,-1*var(--a)))) 0 0)}
.X .s small{font-size:.75em;font-weight:600;white-space:nowrap;margin:0 .3em}
.X .n{font-size:.8em}
.X fieldset{min-width:0;margin:.6em 0;padding:.2em .6em;border:1px solid rgb(127 127 127/.5);border-radius:6px}
.X label{position:relative;cursor:pointer}
.X input{position:absolute;opacity:0;margin:0}
.X .c{padding:.1em .15em;margin:0 .1em;border:1px solid rgb(127 127 127/.5);border-radius:4px;
-webkit-box-decoration-break:clone;box-decoration-break:clone}
.X .m,.X input:checked+.c{border-color:currentColor;background:rgb(127 127 127/.25);box-shadow:0 0 0 1px currentColor}
.X input:focus-visible+.c{outline:3px solid Highlight;outline-offset:2px}
"""
_OF_VIEW = """.X:has(input[value="K"]:checked) .s{--a:var(--aK,0);--h:var(--hK,0)}
.X:has(input[value="K"]:checked) .v{display:none}
.X:has(input[value="K"]:checked) small.vK{display:inline}
.X:has(input[value="K"]:checked) p.vK{display:block}
"""


def prompt_html(
    attribution: Attribution,
    prompt: Prompt | None = None,
    *,
    output: int | str | None = None,
    whole: Attribution | None = None,
    example: int = 0,
    percentile: float = 100.0,
    title: str | None = None,
) -> str:
    """Returns a prompt and its response as HTML, where a click on a token of the response colors the prompt for it.

    Each span has the color of its value, red for the response and blue against it, and is followed by its value and half
    of its 95 % interval. Spans whose interval contains 0, so that their sign is not known, are faint and hatched. What
    always stays, before and after the spans, is gray. The colors are translucent, and letters keep the page's color, so
    that the text is legible on light and dark pages. Tokens are chosen by mouse or keyboard. There are no scripts, and
    nothing is loaded. Browsers without the CSS of the choice (`:has`, 2023) show the first view alone.

    Args:
      attribution: values [M] or [M, T] of the spans of a prompt, from a game of `xai.text.response_game`; or from
        `xai.text.by_span`.
      prompt: from `xai.text.prompt`, whose texts are written. They are text: HTML in them is shown as it is. Default: those
        that the attribution has.
      output: the token of the response that is chosen first, by index or name. Default: the whole response, whose values
        are the sums over the tokens.
      whole: the attribution of `game.whole`, from which the values and intervals of the whole response are taken.
        Default: none. The interval of a sum is then unknown, as the errors of tokens depend on each other, and "± ≤" is an
        upper bound of it, see `xai.text.whole_response`.
      example: the row to write, where the attribution has several.
      percentile: the percentile of |value| at which the colors of each view end, as in `xai.plot.image`.
      title: Default: the method; "" for none.

    Returns:
      One `<figure>` element, for a page or a notebook: `IPython.display.HTML(...)`. Its size grows with M times T.

    Raises:
      TypeError, ValueError: if the attribution is not one of spans, the prompt or `whole` does not fit it, or there is no
        such output.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> prompt = xai.text.prompt([[5], [6]], prefix=[1], names=["It <rains>.", " Go!"])
    >>> values = xai.Attribution(jnp.array([[1.0], [-0.5]]), jnp.array([-0.1]), axes="M K", output_names=["coat"])
    >>> page = xai.plot.prompt_html(values, prompt)
    >>> "It &lt;rains&gt;." in page, "+1</small>" in page, "<script" in page
    (True, True, False)
    """
    shown = read_prompt(attribution, prompt, whole, example, output)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"`title` must be a string, got {check.shown(title)}.")
    view = shown.views[shown.chosen]
    title = caption(attribution.method, view.name if len(shown.views) == 1 else "") if title is None else title
    scales = [both_ways(scale_of([view.values], percentile)) for view in shown.views]
    strengths = np.stack([np.asarray(scale.norm(view.values)) for scale, view in zip(scales, shown.views, strict=True)])
    spans = _spans(shown, 2 * strengths - 1)
    before, after = (f'<span class="o">{_escaped(text)}</span>' if text else "" for text in (shown.before, shown.after))
    notes = []
    for number, (view, scale) in enumerate(zip(shown.views, scales, strict=True)):
        sentences = [*sentences_of(view, attribution), f"Strongest color: ±{scale.norm.vmax:.3g}"]
        if scale.note:
            sentences[-1] += f"; {scale.note}"
        notes.append(f'<p class="n {_of_view(number, shown)}>{_escaped(" ".join(sentences))}.</p>')
    head = f'<figcaption dir="auto" style="font-weight:600">{_escaped(title)}</figcaption>' if title else ""
    body = f'{head}<p class="t" dir="auto">{before}{spans}{after}</p>{_response(shown)}{"".join(notes)}'
    # Figures have rules of their own, by their content: the same page gives the same bytes.
    name = f"xaijax-{hashlib.sha256(body.encode(errors='replace')).hexdigest()[:12]}"
    label = f' role="group" aria-label="{_escaped(title or attribution.method or "prompt")}"'
    return f'<figure class="xaijax-prompt {name}"{label}><style>{_style(name, shown)}</style>{body}</figure>'


def _style(name: str, shown: Shown) -> str:
    """Returns the rules of one figure."""
    rules = _STYLE
    for color, word in ((POSITIVE, "PLUS"), (NEGATIVE, "MINUS")):
        rules = rules.replace(word, " ".join(str(round(255 * part)) for part in to_rgb(color)))
    rules = rules.replace("STRONGEST", f"{_STRONGEST}").replace("FAINT", f"{_FAINT}")
    rules = rules.replace("--aC", f"--a{shown.chosen}").replace("--hC", f"--h{shown.chosen}")
    if len(shown.views) > 1:
        rules += "".join(_OF_VIEW.replace("K", str(number)) for number in range(len(shown.views)))
    return rules.replace(".X", f".{name}")


def _spans(shown: Shown, strengths: np.ndarray) -> str:
    """Returns the spans. Their strengths [K, M] are variables of CSS: --a3 of view 3, and --h3 where the sign is unknown."""
    labels = [view.labels() for view in shown.views]
    uncertain = [view.uncertain for view in shown.views]
    written = []
    for number, text in enumerate(shown.spans):
        variables = []
        for view in range(len(shown.views)):
            if strengths[view, number]:
                variables.append(f"--a{view}:{strengths[view, number]:.3g}")
            if uncertain[view][number]:
                variables.append(f"--h{view}:1")
        values = "".join(
            f'<small dir="ltr" class="{_of_view(view, shown)}>{_escaped(labels[view][number])}</small>'
            for view in range(len(shown.views))
        )
        inside = text.strip() or visible(text)
        start = text[: len(text) - len(text.lstrip())] if text.strip() else ""
        end = text[len(text.rstrip()) :] if text.strip() else ""
        style = f' style="{";".join(variables)}"' if variables else ""
        written.append(f'{start}<wbr><span class="s"{style}>{_escaped(inside)}{values}</span>{end}')
    return "".join(written)


def _response(shown: Shown) -> str:
    """Returns the response: a choice of its tokens, where there are several views."""
    if len(shown.views) == 1:
        chosen = shown.views[0].token
        tokens = "<wbr>".join(
            f'<span class="c{" m" if chosen in (None, number) else ""}">{_escaped(visible(token).strip())}</span>'
            for number, token in enumerate(shown.tokens)
        )
        return f'<p class="r" dir="auto">Response: {tokens}</p>' if tokens else ""
    choices = [_choice(number, view, shown) for number, view in enumerate(shown.views)]
    first = "" if shown.views[0].token is not None else f"<p>{choices.pop(0)}</p>"
    # The button keeps the Enter key from sending the form, as it is disabled.
    return (
        "<form><button disabled hidden></button><fieldset><legend>Response: choose what the colors explain</legend>"
        f'{first}<p class="r" dir="auto">{"<wbr>".join(choices)}</p></fieldset></form>'
    )


def _choice(number: int, view: View, shown: Shown) -> str:
    checked = " checked" if number == shown.chosen else ""
    text = view.name if view.token is None else visible(shown.tokens[view.token]).strip()
    without = "" if view.base_value is None else f", {view.base_value:.4g} without the spans"
    return (
        f'<label title="{_escaped(f"log-probability {view.output:.4g}{without}")}">'
        f'<input type="radio" name="view" value="{number}"{checked}><span class="c">{_escaped(text)}</span></label>'
    )


def _of_view(number: int, shown: Shown) -> str:
    """Returns the class of what one view shows, with the end of its quotation marks, hidden unless it is the first shown."""
    return f'v v{number}"' + ("" if number == shown.chosen else " hidden")


def _escaped(text: str) -> str:
    return html.escape(printable(text), quote=True)
