"""`manage.py sample_content`: the users and the page tree that the tests know."""
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from wagtail.models import Page, Site

from pages.models import ArticlePage, HomePage, NewsPage

# name, superuser; each has the password "NAME-secret"
USERS = [("editor", True), ("alice", False), ("bob", False), ("carol", False)]


class Command(BaseCommand):
    """Replaces Wagtail's welcome page by our own tree."""

    help = __doc__

    def handle(self, *args, **options):
        users = get_user_model().objects
        for name, superuser in USERS:
            create = users.create_superuser if superuser else users.create_user
            create(name, f"{name}@example.test", f"{name}-secret")

        root = Page.get_first_root_node()
        Page.objects.filter(depth=2).delete()
        root.refresh_from_db()
        home = root.add_child(instance=HomePage(title="Home", slug="home", body="The front page."))
        Site.objects.all().delete()
        Site.objects.create(hostname="www.example.test", port=80, root_page=home, is_default_site=True)

        news = home.add_child(instance=NewsPage(title="News", slug="news"))
        for number in range(1, 6):
            news.add_child(instance=NewsPage(title=f"News {number}", slug=f"n{number}", body=f"News text {number}."))
        articles = home.add_child(instance=ArticlePage(title="Articles", slug="articles"))
        for number in range(1, 6):
            articles.add_child(
                instance=ArticlePage(title=f"Article {number}", slug=f"a{number}", body=f"Article text {number}.")
            )
