"""Three page types, one for each way in which a page can stand behind a cache."""
from django.db import models
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from wagtail.admin.panels import FieldPanel
from wagtail.models import Page

# Browsers ask again each time; a shared cache may keep the page for an hour, because the CMS says when it changes.
cached = method_decorator(cache_control(max_age=0, s_maxage=3600), name="serve")


class BodyPage(Page):
    """What the page types have in common: some text."""

    body = models.TextField(blank=True)
    content_panels = Page.content_panels + [FieldPanel("body")]

    class Meta:
        abstract = True


@cached
class HomePage(BodyPage):
    """The same for everybody, and never looks at the session."""


@cached
class NewsPage(BodyPage):
    """Rendered for its visitor: shows who is signed in, and Wagtail's user bar to editors.

    It sends the same `s-maxage` to all of them, as many sites do by mistake. So what keeps one reader's page from the
    next reader is the cache's care alone.
    """


@cached
class ArticlePage(BodyPage):
    """The same for everybody; who is signed in comes by `<esi:include>`."""
